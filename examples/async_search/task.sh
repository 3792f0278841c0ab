#!/bin/bash
# task.sh NODES PARAMETERS : what the search runs for each point. Its output goes to $OUTPUT/NUMBER.txt,
# its result to $OUTPUT/val_loss-NUMBER.txt, where search.yaml looks for it.
set -eu
nodes=$1 parameters=$2
printf -v number "%04d" "$TASK_NUMBER"
echo "number $number on $nodes nodes: $parameters"
# with several nodes, for example: srun --nodes "$nodes" python task.py ...
exec "${PYTHON:-python3}" "$(dirname "$0")/task.py" "$parameters" "$OUTPUT/val_loss-$number.txt"
