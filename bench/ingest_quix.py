"""The fold of bench/ingest on Quix Streams, in one process. Its task stands on the command line.

States are held in a dict of the process: Quix's own store would encode a whole match for each record.
"""

from quixstreams import Application, message_context

from bench.ingest_task import Done, Folding, report, told, wait_for_go


def main() -> None:
    """Fold every record of the topics."""
    task = told()
    app = Application(
        broker_address=task.server,
        consumer_group=task.group,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        loglevel="ERROR",
    )
    folding, done = Folding(task), list[Done]()

    def fold(value: bytes, key: bytes, _timestamp: int, _headers: object) -> None:
        if folding.fold(key.decode(), message_context().offset, value):
            done.append(folding.done())
            app.stop()

    for name in task.topics:
        topic = app.topic(name, key_deserializer="bytes", value_deserializer="bytes")
        app.dataframe(topic).update(fold, metadata=True)
    wait_for_go()
    app.run()
    report(done[0])


if __name__ == "__main__":
    main()
