"""What people write instead: a PRAW stream, a polling loop, and a Celery pipeline behind that loop.

Started by main.rs with its settings in the environment. Each stores what it sees in one table,
submissions(id, status), at once; status is "discovered" as listed, "fetched" once /api/info gave it out.
"""

import os
import sys
import time

URL = os.environ["PEERS_URL"]
DATABASE = os.environ["PEERS_DATABASE"]
NAMES = os.environ["PEERS_NAMES"].split()
INTERVAL = float(os.environ["PEERS_INTERVAL"])
PER_MINUTE = float(os.environ["PEERS_PER_MINUTE"])
REDIS = os.environ["PEERS_REDIS"]
AGENT = "linux:peers:1.0 (by /u/peers)"
GROUP = 5  # Subreddits that the polling loop asks for together.


class Rows:
    """The table, through one connection."""

    def __init__(self):
        if DATABASE.startswith("sqlite://"):
            import sqlite3

            path = DATABASE.removeprefix("sqlite://")
            self.db = sqlite3.connect(path, timeout=30, isolation_level=None)
            self.mark = "?"
        else:
            import psycopg

            self.db = psycopg.connect(DATABASE, autocommit=True)
            self.mark = "%s"

    def store(self, status, ids):
        sql = f"INSERT INTO submissions (id, status) VALUES ({self.mark}, {self.mark}) ON CONFLICT (id) "
        sql += "DO UPDATE SET status = 'fetched'" if status == "fetched" else "DO NOTHING"
        self.db.cursor().executemany(sql, [(id, status) for id in ids])


class Api:
    """Requests with a token, evenly spaced within a part of the budget."""

    def __init__(self, part=1.0):
        import requests

        self.http = requests.Session()
        self.http.headers["User-Agent"] = AGENT
        self.pause = 60 / (PER_MINUTE * part)
        self.next = 0.0
        form = {"grant_type": "client_credentials"}
        token = f"{URL}/api/v1/access_token"
        answer = self.http.post(token, data=form, auth=("peers", "secret"), timeout=16)
        self.http.headers["Authorization"] = "bearer " + answer.json()["access_token"]

    def get(self, path, **query):
        """The submissions of one answer, and where the next page begins; none where it failed."""
        now = time.monotonic()
        time.sleep(max(0.0, self.next - now))
        self.next = max(now, self.next) + self.pause
        try:
            query["raw_json"] = 1
            answer = self.http.get(URL + path, params=query, timeout=16)
            answer.raise_for_status()
            data = answer.json()["data"]
            children = [child["data"] for child in data["children"] if child["kind"] == "t3"]
            return [str(item["id"]) for item in children], data.get("after")
        except Exception as error:  # Whatever it is: the next round asks again.
            print(path, error, file=sys.stderr)
            return None


def poll(found, part=1.0):
    """Asks for a few subreddits after the other, and pages until it meets what it knows."""
    api, known = Api(part), set()
    while True:
        begun = time.monotonic()
        for first in range(0, len(NAMES), GROUP):
            path, after = "/r/" + "+".join(NAMES[first : first + GROUP]) + "/new", None
            while True:
                page = api.get(path, limit=100, after=after)
                if page is None:
                    break
                ids, after = page
                new = [id for id in ids if id not in known]
                known.update(new)
                if new:
                    found(new)
                if len(new) < len(ids) or after is None:
                    break
        time.sleep(max(0.0, begun + INTERVAL - time.monotonic()))


def loop():
    rows = Rows()
    poll(lambda ids: rows.store("discovered", ids))


def praw_stream():
    import praw

    rows = Rows()
    reddit = praw.Reddit(
        client_id="peers",
        client_secret="secret",
        user_agent=AGENT,
        reddit_url=URL,
        oauth_url=URL,
        check_for_updates=False,
        check_for_async=False,
    )
    while True:
        try:
            for submission in reddit.subreddit("+".join(NAMES)).stream.submissions():
                rows.store("discovered", [submission.id])
        except Exception as error:  # As its documentation advises: begin again.
            print(type(error).__name__, error, file=sys.stderr)
            time.sleep(1)


def pipeline():
    """The Celery application: half of the budget is the worker's."""
    import celery

    app = celery.Celery("peers", broker=REDIS)
    app.conf.worker_prefetch_multiplier = 1
    app.conf.task_ignore_result = True
    app.conf.broker_connection_retry_on_startup = True
    state = {}

    @app.task(name="fetch", bind=True, max_retries=None)
    def fetch(task, ids):
        if not state:
            state.update(api=Api(0.5), rows=Rows())
        page = state["api"].get("/api/info", id=",".join("t3_" + id for id in ids))
        if page is None:
            raise task.retry(countdown=5)
        state["rows"].store("fetched", page[0])

    return app, fetch


def celery_worker():
    app, _ = pipeline()
    # One process, so that one pause spaces all requests.
    app.worker_main(["worker", "--pool", "solo", "--loglevel", "WARNING"])


def celery_poller(size):
    rows, (_, fetch) = Rows(), pipeline()

    def found(ids):
        rows.store("discovered", ids)
        for first in range(0, len(ids), size):
            fetch.delay(ids[first : first + size])

    poll(found, 0.5)


def forked(*parts):
    """Each in a process of its own, as they are deployed."""
    import multiprocessing

    started = [multiprocessing.Process(target=part, args=args) for part, *args in parts]
    for process in started:
        process.start()
    for process in started:
        process.join()


if __name__ == "__main__":
    peers = {
        "praw": praw_stream,
        "loop": loop,
        "celery-1": lambda: forked((celery_worker,), (celery_poller, 1)),
        "celery-100": lambda: forked((celery_worker,), (celery_poller, 100)),
    }
    peers[sys.argv[1]]()
