//! Where submissions come from: remote APIs, which no other module talks to, and files.
//!
//! Owns transport, authentication, the rate budget, and the meaning of every answer. Knows no
//! database, no queue and no schedule: whoever calls decides when to ask again.

pub mod arctic_shift;
pub mod budget;
mod clock;
mod dump;
mod error;
mod gate;
mod observer;
mod options;
mod origin;
pub mod reddit;
mod transport;
mod trouble;

pub use arctic_shift::{ArchivePage, ArcticShift, ArcticShiftOptions, Order};
pub use budget::{Budget, BudgetError, RequestClass};
pub use clock::Moment;
pub use dump::{Batch, Dump, DumpError, DumpProgress, Input, Rejected, Selection, Survey};
pub use error::{SourceError, UnavailableReason, WaitCause};
pub use options::InvalidOptions;
pub use origin::{Admission, Origin, is_simulated};
pub use reddit::{InfoPage, ListingPage, Login, MAX_INFO_IDS, Received, Reddit, RedditOptions};
