"""A supervisor and an agent that judge a death by a signal after five minutes, not after two seconds.

For tests in which a head says that the job ends: that comes too late where the test stands still for two seconds.
"""

from __future__ import annotations

import sys

from adaptive_scheduler.client.tasks.node import ledger

ledger.JUDGED_AFTER = 300.0  # before other modules import it

if __name__ == "__main__":
    from adaptive_scheduler.client.tasks.node import agent, supervisor

    if len(sys.argv) == 3:
        supervisor.AGENT = "tests.integration.patient_agent"
        sys.exit(supervisor.supervise(*sys.argv[1:]))
    agent.main(sys.argv[1:])
