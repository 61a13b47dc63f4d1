-- What is true of the whole database. `simulated`: what it holds was made up, at least in part.
CREATE TABLE marks (
    name text COLLATE "C" PRIMARY KEY
);
