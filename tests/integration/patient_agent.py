"""A supervisor and an agent that wait for long before they judge a death by a signal: who says that the job
ends may be held up for longer than two seconds where a test is not about these.
"""

from __future__ import annotations

import sys

from adaptive_scheduler.client.tasks.node import ledger

ledger.JUDGED_AFTER = 300.0  # before others take it from there

if __name__ == "__main__":
    from adaptive_scheduler.client.tasks.node import agent, supervisor

    if len(sys.argv) == 3:
        supervisor.AGENT = "tests.integration.patient_agent"
        sys.exit(supervisor.supervise(*sys.argv[1:]))
    agent.main(sys.argv[1:])
