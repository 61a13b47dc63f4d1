//! The columns of an export: those of `submissions`, by their names there.

use crate::store::{Cell, CellType};

/// What a column's values mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    /// Whole seconds since the epoch.
    Time,
    Real,
    Truth,
    /// JSON already, as Reddit sent it.
    Json,
}

/// A column by its name.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

impl Column {
    /// How it is read from the database.
    pub(super) fn stored(&self) -> (&'static str, CellType) {
        let of = match self.kind {
            Kind::Text | Kind::Json => CellType::Text,
            Kind::Integer | Kind::Time => CellType::Integer,
            Kind::Real => CellType::Real,
            Kind::Truth => CellType::Truth,
        };
        (self.name, of)
    }
}

/// A row: a cell for each of the chosen columns.
pub(super) type Cells = [Cell];

macro_rules! columns {
    ($($name:ident: $kind:ident;)+) => {
        /// All of them, in the order of the table.
        pub(super) const COLUMNS: &[Column] =
            &[$(Column { name: stringify!($name), kind: Kind::$kind },)+];
    };
}

columns! {
    id: Text;
    subreddit: Text;
    author: Text;
    title: Text;
    selftext: Text;
    url: Text;
    permalink: Text;
    domain: Text;
    created_utc: Time;
    score: Integer;
    num_comments: Integer;
    upvote_ratio: Real;
    over_18: Truth;
    spoiler: Truth;
    stickied: Truth;
    locked: Truth;
    is_self: Truth;
    link_flair_text: Text;
    edited: Truth;
    edited_at: Time;
    removed_by: Text;
    removed_at: Time;
    kind: Text;
    discovered_at: Time;
    fetched_at: Time;
    status: Text;
    raw: Json;
    removed_raw: Json;
}

/// The columns of a list, in its order; without one all but whole objects, which repeat the others and more.
pub(super) fn chosen(list: Option<&str>) -> Result<Vec<&'static Column>, String> {
    let Some(list) = list else {
        return Ok(COLUMNS
            .iter()
            .filter(|column| column.kind != Kind::Json)
            .collect());
    };
    let mut chosen: Vec<&'static Column> = Vec::new();
    for name in list.split(',').map(str::trim) {
        let Some(column) = COLUMNS.iter().find(|column| column.name == name) else {
            let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
            return Err(format!(
                "--columns: there is no column {name:?}; there are {}",
                names.join(", ")
            ));
        };
        if chosen.iter().any(|it| it.name == name) {
            return Err(format!("--columns: {name} is named twice"));
        }
        chosen.push(column);
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_in_the_order_in_which_they_were_named() {
        let names =
            |list| -> Vec<&str> { chosen(list).unwrap().iter().map(|it| it.name).collect() };
        assert_eq!(names(Some("title, id,raw")), ["title", "id", "raw"]);
        assert_eq!(names(None).len(), COLUMNS.len() - 2);
    }

    #[test]
    fn a_column_that_there_is_not_or_that_is_named_twice_is_refused_by_its_name() {
        let refused = |list| chosen(Some(list)).err().unwrap();
        assert!(refused("id,scroe").contains("\"scroe\"; there are id, subreddit"));
        assert!(refused("id,id").contains("id is named twice"));
        assert!(refused("").contains("\"\""));
    }
}
