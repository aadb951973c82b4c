//! The places of a cache: who writes in which, and what those hold that are free.

use std::sync::Arc;

use super::request::Ticket;
use crate::model::RopeScaling;
use crate::sample::answer::Answer;

/// Prompt tokens that are worth copying; fewer are read again as fast.
const LEAST_SHARED: usize = 16;

/// One sequence of the cache.
#[derive(Default)]
pub(super) struct Slot {
    /// The ids whose keys and values it holds, from the first position on.
    pub(super) ids: Vec<u32>,
    /// How many of them were read as a prompt.
    pub(super) prompt: usize,
    /// How many of them others may go on from, at most.
    pub(super) kept: usize,
    /// The logits behind that prompt, once it is read.
    pub(super) logits: Option<Arc<[f32]>>,
    /// When it was last written in; 0 for never.
    pub(super) used: u64,
    /// Who writes here.
    pub(super) row: Option<Row>,
}

/// A request that has a slot.
pub(super) struct Row {
    pub(super) ticket: Ticket,
    pub(super) answer: Answer,
    /// How many of its ids it had when it got its slot, which are read before it writes: the prompt, and behind it what it
    /// wrote where it was put off.
    pub(super) text: usize,
    /// The positions that it may take before others are looked at.
    pub(super) claim: usize,
    /// Tokens of that text that need not be read.
    pub(super) reused: usize,
    /// Seconds when it got its slot, and when its text was read.
    pub(super) begun: f64,
    pub(super) prefilled: f64,
}

/// Where a prompt's first ids stand already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shared {
    pub(super) place: usize,
    /// So many ids.
    pub(super) ids: usize,
    /// Whether it is the whole prompt, whose logits are known.
    pub(super) whole: bool,
}

impl Slot {
    /// Whether somebody writes here whose text is not read to its end.
    pub(super) fn is_reading(&self) -> bool {
        self.row.as_ref().is_some_and(|row| self.ids.len() < row.text)
    }

    /// Whether somebody writes here whose last token is still to be fed.
    pub(super) fn is_writing(&self) -> bool {
        self.row.as_ref().is_some_and(|row| self.ids.len() >= row.text)
    }

    /// Whether the next token of whoever writes here needs a position beyond those that were claimed.
    pub(super) fn is_narrow(&self) -> bool {
        self.is_writing() && self.row.as_ref().is_some_and(|row| self.ids.len() >= row.claim)
    }

    /// How many of its ids another prompt may go on from.
    fn kept(&self) -> usize {
        self.ids.len().min(self.kept)
    }

    /// What this slot has of a prompt, and whether that is all of it.
    fn shares(&self, prompt: &[u32], scaling: &RopeScaling) -> (usize, bool) {
        let same = self.ids[..self.kept()].iter().zip(prompt).take_while(|(a, b)| a == b).count();
        if same == prompt.len() && self.prompt == same && self.logits.is_some() {
            return (same, true);
        }
        // The last id is read in any case: its logits are needed.
        let same = same.min(prompt.len().saturating_sub(1));
        let longest = self.prompt.max(same);
        let alike = [self.prompt, longest].iter().all(|&len| scaling.turns_alike(len, prompt.len()));
        (if same >= LEAST_SHARED && alike { same } else { 0 }, false)
    }
}

/// The slot that has most of a prompt, if that is worth anything.
pub(super) fn shared(slots: &[Slot], prompt: &[u32], scaling: &RopeScaling) -> Option<Shared> {
    let of = |(place, slot): (usize, &Slot)| {
        let (ids, whole) = slot.shares(prompt, scaling);
        Shared { place, ids, whole }
    };
    let all = slots.iter().enumerate().map(of).filter(|shared| shared.ids > 0);
    // Of several the first; one that is whole before all.
    all.reduce(|best, next| if (next.whole, next.ids) > (best.whole, best.ids) { next } else { best })
}

/// The free slot that a prompt gets: the one whose ids it goes on from, which loses nothing by that, else the one that
/// was not used for longest; the one that it copies from only where there is no other.
pub(super) fn free(slots: &[Slot], shared: Option<Shared>) -> Option<usize> {
    let is_free = |place: usize| slots[place].row.is_none();
    if let Some(shared) = shared
        && is_free(shared.place)
        && slots[shared.place].kept() == shared.ids
    {
        return Some(shared.place);
    }
    let from = shared.map(|shared| shared.place);
    (0..slots.len())
        .filter(|&place| is_free(place))
        .min_by_key(|&place| (from == Some(place), slots[place].used))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::SamplingConfig;

    /// A slot that holds these ids, the first of them as its prompt.
    fn slot(ids: Vec<u32>, prompt: usize, used: u64) -> Slot {
        Slot { ids, prompt, kept: usize::MAX, logits: Some(Arc::from([0.0])), used, row: None }
    }

    fn taken(slot: Slot) -> Slot {
        let answer = Answer::new(slot.ids.clone(), Vec::new(), None, &SamplingConfig::default());
        let (text, claim) = (slot.ids.len(), slot.ids.len() + 1);
        let row = Row { ticket: Ticket(0), answer, text, claim, reused: 0, begun: 0.0, prefilled: 0.0 };
        Slot { row: Some(row), ..slot }
    }

    fn ids(count: u32) -> Vec<u32> {
        (0..count).collect()
    }

    #[test]
    fn most_of_a_prompt_counts_and_the_whole_of_it_before_all() {
        let plain = RopeScaling::Default;
        let of = |slots: &[Slot], prompt: &[u32]| shared(slots, prompt, &plain);
        let slots = [slot(ids(20), 18, 1), slot(ids(40), 30, 2), slot(Vec::new(), 0, 0)];
        let found = |place: usize, ids: usize, whole: bool| Some(Shared { place, ids, whole });
        assert_eq!(of(&slots, &ids(30)), found(1, 30, true));
        assert_eq!(of(&slots, &ids(31)), found(1, 30, false), "the last one is read for its logits");
        assert_eq!(of(&slots, &ids(18)), found(0, 18, true));
        let other: Vec<u32> = ids(19).into_iter().chain([99; 9]).collect();
        assert_eq!(of(&slots, &other), found(0, 19, false), "the first of two");
        // Few are not worth it, but all are.
        let few: Vec<u32> = ids(15).into_iter().chain([99; 9]).collect();
        assert_eq!(of(&slots, &few), None);
        assert_eq!(of(&[slot(ids(3), 3, 1)], &ids(3)), found(0, 3, true));
        assert_eq!(of(&[slot(ids(3), 2, 1)], &ids(3)), None, "the logits are those behind two");
    }

    #[test]
    fn what_was_written_less_exactly_is_read_again() {
        let inexact = |count: u32, prompt: usize| Slot { kept: prompt, ..slot(ids(count), prompt, 1) };
        let of = |slots: &[Slot], prompt: u32| shared(slots, &ids(prompt), &RopeScaling::Default);
        let slots = [inexact(40, 20), inexact(30, 18)];
        let found = of(&slots, 41);
        assert_eq!(found, Some(Shared { place: 0, ids: 20, whole: false }));
        assert_eq!(of(&slots, 20), Some(Shared { place: 0, ids: 20, whole: true }), "its own prompt is");
        assert_eq!(free(&slots, found), Some(0), "nothing that is of use stands behind");
    }

    #[test]
    fn keys_that_turn_with_the_length_of_a_text_are_not_those_of_another() {
        let dynamic = RopeScaling::Dynamic { factor: 2.0, original: 32 };
        let of = |held: Slot, prompt: u32| shared(&[held], &ids(prompt), &dynamic).map(|shared| shared.ids);
        assert_eq!(of(slot(ids(20), 20, 1), 32), Some(20), "all within the lengths of pretraining");
        assert_eq!(of(slot(ids(20), 20, 1), 33), None);
        assert_eq!(of(slot(ids(40), 20, 1), 33), None);
        assert_eq!(of(slot(ids(40), 40, 1), 45), None);
        // Of an answer that grew beyond them the part within them.
        assert_eq!(of(slot(ids(40), 20, 1), 30), Some(29));
        assert_eq!(of(slot(ids(40), 40, 1), 40), Some(40), "the same prompt");
    }

    #[test]
    fn a_prompt_goes_on_where_it_stands_and_else_takes_what_was_not_used_for_longest() {
        let slots = [slot(ids(20), 18, 1), taken(slot(ids(30), 30, 9)), slot(ids(40), 30, 2)];
        let at = |place: usize, ids: usize| Some(Shared { place, ids, whole: false });
        assert_eq!(free(&slots, at(2, 40)), Some(2), "it goes on from all that stands there");
        assert_eq!(free(&slots, at(2, 30)), Some(0), "what stands behind may be asked for again");
        assert_eq!((free(&slots, at(1, 30)), free(&slots, None)), (Some(0), Some(0)));
        // The one that it copies from goes last.
        assert_eq!(free(&slots, at(0, 17)), Some(2));
        assert_eq!(free(&slots[..2], at(0, 17)), Some(0));
        assert_eq!(free(&slots[1..2], None), None);
    }

    #[test]
    fn a_row_reads_until_its_prompt_stands_in_the_cache() {
        let mut reading = taken(slot(ids(3), 3, 1));
        reading.ids.pop();
        assert!(reading.is_reading() && !reading.is_writing());
        reading.ids.push(2);
        assert!(!reading.is_reading() && reading.is_writing() && !reading.is_narrow());
        // Four positions were claimed, and the fifth is wanted.
        reading.ids.push(5);
        assert!(reading.is_narrow());
        let free = slot(ids(3), 3, 1);
        assert!(!free.is_reading() && !free.is_writing());
    }
}
