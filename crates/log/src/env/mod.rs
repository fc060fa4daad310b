//! The file-system seam: every byte this crate reads or writes passes through [`FileSystem`] and [`LogFile`].
//!
//! Two implementations: [`StdFileSystem`] (the real one) and [`FaultyFileSystem`] (in memory; it stops at a chosen
//! byte, fails chosen calls and models what a power cut leaves behind). All calls block; none of them sleeps or
//! retries. Both are `Send + Sync`, because flushes and recovery run on other threads than appends.
//!
//! Names that nothing else has come from [`UniqueNames`]: random ones or, for runs that can be made again, seeded ones.

mod environment;
mod faulty;
mod faulty_state;
mod parents;
mod seam;
mod std_fs;
mod unique_names;

pub use environment::Env;
pub use faulty::{Fault, FaultyFileSystem};
pub use faulty_state::Survival;
pub use seam::{FileSystem, LogFile, OpenMode, read_small_file};
pub use std_fs::StdFileSystem;
pub use unique_names::{RandomNames, SeededNames, UniqueNames};
