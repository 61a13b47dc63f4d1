//! The queue while something breaks.
