//! Outsides of machines that run within a test.

use std::collections::VecDeque;
use std::time::Duration;

use solderless::machine::{Event, Host, Message};

/// An outside from which this comes at once, and then nothing.
#[derive(Default)]
pub struct Typed(pub VecDeque<Event>);

impl Host for Typed {
    fn poll(&mut self) -> Option<Message> {
        self.0.pop_front().map(Message::from)
    }
    fn wait(&mut self, _: Option<Duration>) -> Option<Message> {
        None
    }
}
