//! What was told of a run, for whoever comes later: bounded, so that a long run takes no more memory than a short one.

use axum::body::Bytes;

/// Most events that are kept.
const MOST: usize = 4096;

/// The events of a run as they go over the wire.
#[derive(Default)]
pub struct Log {
    events: Vec<(Kind, Bytes)>,
}

/// What an event is to whoever comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One of very many: of these every second one may go.
    Step,
    /// What is not repeated.
    Other,
}

impl Log {
    /// Adds an event. Beyond the bound every second report of steps goes, and where that is not enough what is oldest behind
    /// the first event, with which the run stands.
    pub fn add(&mut self, kind: Kind, event: Bytes) {
        self.events.push((kind, event));
        if self.events.len() <= MOST {
            return;
        }
        let mut steps = 0_usize;
        self.events.retain(|(kind, _)| {
            steps += usize::from(*kind == Kind::Step);
            *kind == Kind::Other || steps.is_multiple_of(2)
        });
        let beyond = self.events.len().saturating_sub(MOST);
        self.events.drain(1..=beyond);
    }

    /// All that is kept, in order.
    pub fn events(&self) -> impl Iterator<Item = Bytes> {
        self.events.iter().map(|(_, event)| event.clone())
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_keeps_its_beginning_every_other_step_and_its_end() {
        let mut log = Log::default();
        log.add(Kind::Other, "stands".into());
        (0..MOST).for_each(|step| log.add(Kind::Step, step.to_string().into()));
        assert_eq!(log.len(), 1 + MOST / 2);
        let events: Vec<_> = log.events().collect();
        assert_eq!((&events[0][..], &events[1][..]), (&b"stands"[..], &b"1"[..]));
        assert_eq!(events.last().unwrap(), (MOST - 1).to_string().as_bytes());
        (0..3 * MOST).for_each(|warning| log.add(Kind::Other, warning.to_string().into()));
        let events: Vec<_> = log.events().collect();
        assert_eq!((events.len(), &events[0][..]), (MOST, &b"stands"[..]));
        assert_eq!(events.last().unwrap(), (3 * MOST - 1).to_string().as_bytes());
    }
}
