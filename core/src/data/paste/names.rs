//! What people call a question and its answer, over a column or before a line, in many languages.

/// Names of a question, in lower case.
const QUESTIONS: &str = "q, question, questions, ask, user, human, prompt, instruction, input, front, \
    问, 问题, 提问, 用户, 指令, 问句, 問題, 提問, 用戶, 質問, 問い, 질문, 문제, \
    frage, fragen, pregunta, pergunta, domanda, vraag, pytanie, otázka, fråga, spørgsmål, spørsmål, kysymys, \
    kérdés, ερώτηση, soru, вопрос, питання, câu hỏi, pertanyaan, soalan, سؤال, السؤال, प्रश्न, คำถาม, שאלה";

/// Names of an answer, in lower case.
const ANSWERS: &str = "a, answer, answers, reply, assistant, ai, bot, gpt, response, completion, output, back, \
    答, 答案, 回答, 回复, 助手, 输出, 答句, 回覆, 答え, 解答, 답변, 답, 대답, \
    antwort, antworten, réponse, reponse, respuesta, resposta, risposta, antwoord, odpowiedź, odpověď, svar, \
    vastaus, válasz, απάντηση, cevap, yanıt, ответ, відповідь, câu trả lời, trả lời, jawaban, jawapan, \
    جواب, الجواب, إجابة, الإجابة, उत्तर, คำตอบ, תשובה";

/// Which side of a pair a name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Question,
    Answer,
}

impl Side {
    /// The side that a name in whatever case means; `None` for any other word.
    pub(super) fn of(name: &str) -> Option<Self> {
        // No name is nearly as long; a cell that holds a whole text is not looked up.
        const LONGEST: usize = 40;
        let name = name.trim();
        if name.len() > LONGEST {
            return None;
        }
        let name = name.to_lowercase();
        let is_of = |names: &str| names.split(", ").any(|known| known == name);
        if is_of(QUESTIONS) {
            return Some(Self::Question);
        }
        is_of(ANSWERS).then_some(Self::Answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_lower_case_and_mean_one_side() {
        let mut known = Vec::new();
        for (names, side) in [(QUESTIONS, Side::Question), (ANSWERS, Side::Answer)] {
            for name in names.split(", ") {
                assert_eq!((name, name.trim()), (name.to_lowercase().as_str(), name));
                assert!(!known.contains(&name), "{name} is there twice");
                assert_eq!(Side::of(&format!(" {name}\u{3000}")), Some(side), "{name}");
                known.push(name);
            }
        }
        assert_eq!((Side::of("FRAGE"), Side::of("Ответ")), (Some(Side::Question), Some(Side::Answer)));
        for name in ["", "note", "is it?", "备注", &"q".repeat(50)] {
            assert_eq!(Side::of(name), None, "{name}");
        }
    }
}
