//! Answers in parts and whole, from the events of an engine.
