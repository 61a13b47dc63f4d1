//! What an export holds: the columns of `submissions`, by their names there.

use crate::store::StoredSubmission;

/// A value on its way into a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Text(&'a str),
    Integer(i64),
    Real(f64),
    Truth(bool),
    /// JSON already, as Reddit sent it.
    Json(&'a str),
}

/// What a column's values are, where they are something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Real,
    Truth,
    Json,
}

/// A column by its name.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) value: fn(&StoredSubmission) -> Value<'_>,
}

fn text(value: &Option<String>) -> Value<'_> {
    value.as_deref().map_or(Value::Null, Value::Text)
}

fn integer(value: Option<i64>) -> Value<'static> {
    value.map_or(Value::Null, Value::Integer)
}

fn truth(value: Option<bool>) -> Value<'static> {
    value.map_or(Value::Null, Value::Truth)
}

macro_rules! columns {
    ($($name:ident: $kind:ident = |$row:ident| $value:expr;)+) => {
        /// All of them, in the order of the table.
        pub(super) const COLUMNS: &[Column] =
            &[$(Column { name: stringify!($name), kind: Kind::$kind, value: |$row| $value },)+];
    };
}

columns! {
    id: Text = |row| Value::Text(row.id.as_str());
    subreddit: Text = |row| text(&row.subreddit);
    author: Text = |row| text(&row.author);
    title: Text = |row| text(&row.title);
    selftext: Text = |row| text(&row.selftext);
    url: Text = |row| text(&row.url);
    permalink: Text = |row| text(&row.permalink);
    domain: Text = |row| text(&row.domain);
    created_utc: Integer = |row| Value::Integer(row.created_utc);
    score: Integer = |row| integer(row.score);
    num_comments: Integer = |row| integer(row.num_comments);
    upvote_ratio: Real = |row| row.upvote_ratio.map_or(Value::Null, Value::Real);
    over_18: Truth = |row| truth(row.over_18);
    spoiler: Truth = |row| truth(row.spoiler);
    stickied: Truth = |row| truth(row.stickied);
    locked: Truth = |row| truth(row.locked);
    is_self: Truth = |row| truth(row.is_self);
    link_flair_text: Text = |row| text(&row.link_flair_text);
    edited: Truth = |row| truth(row.edited);
    edited_at: Integer = |row| integer(row.edited_at);
    removed_by: Text = |row| text(&row.removed_by);
    kind: Text = |row| Value::Text(&row.kind);
    discovered_at: Integer = |row| Value::Integer(row.discovered_at);
    fetched_at: Integer = |row| integer(row.fetched_at);
    status: Text = |row| Value::Text(row.status.as_str());
    raw: Json = |row| Value::Json(&row.raw);
}

/// The columns of a list, in its order; without one all but `raw`, which says the same again and more.
pub(super) fn chosen(list: Option<&str>) -> Result<Vec<&'static Column>, String> {
    let Some(list) = list else {
        return Ok(COLUMNS
            .iter()
            .filter(|column| column.name != "raw")
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
        assert_eq!(names(None).len(), COLUMNS.len() - 1);
    }

    #[test]
    fn a_column_that_there_is_not_or_that_is_named_twice_is_refused_by_its_name() {
        let refused = |list| chosen(Some(list)).err().unwrap();
        assert!(refused("id,scroe").contains("\"scroe\"; there are id, subreddit"));
        assert!(refused("id,id").contains("id is named twice"));
        assert!(refused("").contains("\"\""));
    }
}
