//! Behaviour across modules, against real servers that the tests start themselves.

mod queue;
mod queue_faults;
mod queue_rates;
mod support;
