-- What is true of the whole database. `simulated`: what it holds was made up, at least in part.
CREATE TABLE marks (
    name TEXT NOT NULL PRIMARY KEY
) WITHOUT ROWID;
