//! When those ids were created for which requests fail, as far as their neighbours tell.

use super::judge::MARGIN;
use super::{Pass, ask, created};
use crate::backfill::evidence::merged;
use crate::backfill::handler::Broken;
use crate::store::Interval;

/// Ids on either side whose creation bounds that of one.
const NEIGHBOURS: i64 = 20;
/// More of them in a slice are not looked at one by one.
const MAX_FAILING: usize = 20;

impl Pass<'_> {
    /// The seconds in which the ids may have been created for which requests fail to the last, as their neighbours
    /// tell; none where these tell nothing.
    pub(super) async fn unknown(&self) -> Result<Option<Vec<Interval>>, Broken> {
        if self.failing.len() > MAX_FAILING {
            return Ok(None);
        }
        let mut unknown = Vec::new();
        for id in &self.failing {
            self.step.may_go_on()?;
            let around = id - NEIGHBOURS..=id + NEIGHBOURS;
            let created = created(&ask(self.discover, around).await?);
            let below = created.range(..id).map(|(_, time)| *time).min();
            let above = created.range(id..).map(|(_, time)| *time).max();
            let (Some(below), Some(above)) = (below, above) else {
                return Ok(None);
            };
            unknown.push(Interval {
                start: below.min(above).saturating_sub(MARGIN),
                end: below.max(above).saturating_add(MARGIN),
            });
        }
        Ok(Some(merged(unknown)))
    }
}
