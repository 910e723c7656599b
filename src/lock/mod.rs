//! Locks: what a released board is, in a text that is made to be read in a diff, and what differs from it.
//!
//! A board `NAME.toml` has its lock beside it in `NAME.lock`. The board is resolved on the lock: where no layer says what a
//! property is, it is what the lock says, not what the program thinks of now ([`crate::board::locked`]).

mod differ;
mod facts;
mod matrix;

pub use differ::{changes, check, differences, guest};
pub use facts::{Lock, lock};
pub use matrix::{Kept, Matrix, MatrixError, matrix, open, release, with_params};

/// Why there is no lock of a board.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{device}: {reason}")]
pub struct LockError {
    /// The device's name.
    pub device: String,
    /// Why it cannot be looked at.
    pub reason: String,
}
