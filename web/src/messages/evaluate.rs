//! Evaluations: what was asked of which model, in numbers.

use super::told::Told;

messages! {
    /// What a task gave, of one model or of two on the same questions.
    struct Evaluation {
        /// The task.
        task: String as "EvalTask",
        /// Examples before each question.
        shots: u32,
        /// Who was asked: one, or the base and then what acts beside it.
        models: Vec<Evaluated>,
        /// By how much the second one's numbers are larger; none where one was asked, or not both the same.
        differences: Vec<MeasureDifference>,
        /// What is to know of the rows and of how they were asked.
        notes: Vec<Told>,
    }

    /// A model that was asked.
    struct Evaluated {
        /// Which one.
        who: Examined,
        /// Its numbers.
        measures: Vec<Measure>,
        /// Those of each subject; none where a set has no subjects.
        subjects: Vec<SubjectMeasures>,
    }

    /// The model alone, or with adapters.
    enum Examined {
        /// The model alone.
        Base = "base",
        /// With adapters.
        Adapted = "adapted",
    }

    /// What a number counts.
    enum Unit {
        /// A share, 0 to 1.
        Share = "share",
        /// Bits a byte of text.
        Bits = "bits",
        /// Perplexity a token.
        Perplexity = "perplexity",
    }

    /// A number that a task gives.
    struct Measure {
        /// What it is called, as lm-evaluation-harness does where it has it.
        metric: String,
        /// What it counts.
        unit: Unit,
        /// Of so many questions or texts.
        n: f64,
        /// It; null of no questions.
        value: Option<f64>,
        /// Its 95 % interval; null where there is none.
        ci95: Option<[f64; 2]>,
        /// Whether it is a bound, as of a masked predictor's texts, which are at least as likely.
        at_most: bool,
    }

    /// The numbers of a subject.
    struct SubjectMeasures {
        /// Its name.
        subject: String,
        /// They.
        measures: Vec<Measure>,
    }

    /// By how much the second model's number is larger.
    struct MeasureDifference {
        /// What the number is called.
        metric: String,
        /// What it counts.
        unit: Unit,
        /// By so much; null of no questions.
        value: Option<f64>,
        /// Its 95 % interval; null where there is none.
        ci95: Option<[f64; 2]>,
        /// Questions that the first one alone, and that the second one alone answers right; null of texts.
        alone: Option<[f64; 2]>,
    }
}
