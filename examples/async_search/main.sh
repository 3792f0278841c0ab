#!/bin/bash
# main.sh PARALLELISM POINTS_INIT POINTS_MAX : the whole search, on this machine or in this allocation.
# Nodes of each task, tasks at once, tasks in all. Run again it goes on where it was.
set -eu
if [ $# != 3 ]; then
    echo "usage: $0 PARALLELISM POINTS_INIT POINTS_MAX" >&2
    exit 2
fi
cd "$(dirname "$0")"
export OUTPUT=${OUTPUT:-$PWD/output}
adaptive-scheduler search search.yaml --parallelism "$1" --initial "$2" --max-tasks "$3"
echo "Workflow complete!"
