"""The fold of bench/ingest on Bytewax, in one process. Its task stands on the command line.

States are held in a dict of the process and whole batches are folded at once, which is the least that Bytewax can add:
its keyed state would cost more.
"""

from collections.abc import Iterable

from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main
from bytewax.testing import TestingSink

from bench.ingest_task import Done, Folding, report, told, wait_for_go


def main() -> None:
    """Fold every record of the topics."""
    task = told()
    folding, done = Folding(task), list[Done]()

    def fold(batch: list[KafkaSourceMessage]) -> Iterable[None]:
        for message in batch:
            if folding.fold(message.key.decode(), message.offset, message.value):
                done.append(folding.done())
        return ()

    flow = Dataflow("ingest")
    source = KafkaSource([task.server], list(task.topics), tail=False)
    op.output("none", op.flat_map_batch("fold", op.input("feed", flow, source), fold), TestingSink([]))
    wait_for_go()
    cli_main(flow)
    report(done[0])


if __name__ == "__main__":
    main()
