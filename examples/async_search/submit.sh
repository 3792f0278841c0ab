#!/bin/bash
# submit.sh NODES PARALLELISM : submit one job of NODES nodes to SLURM or PBS, in which NODES / PARALLELISM tasks run at
# a time. WALLTIME, QUEUE and POINTS_MAX may be set. Cut by the walltime or killed: submit it again, it goes on.
set -eu
if [ $# != 2 ]; then
    echo "usage: $0 NODES PARALLELISM" >&2
    exit 2
fi
if ! [[ $1 =~ ^[1-9][0-9]*$ && $2 =~ ^[1-9][0-9]*$ ]] || [ "$2" -gt "$1" ]; then
    echo "$0 $1 $2: each task has PARALLELISM of the NODES: give two numbers from 1, the first not below the second" >&2
    exit 2
fi
cd "$(dirname "$0")"
export NODES=$1 PARALLELISM=$2 OUTPUT=${OUTPUT:-$PWD/output}
concurrency=$((NODES / PARALLELISM))
walltime=${WALLTIME:-01:00:00}
mkdir -p "$OUTPUT"
here=$(printf %q "$PWD")
# by its path: a job's login shell may set PATH anew
program=$(printf %q "$(command -v adaptive-scheduler)")
command="cd $here && exec $program search search.yaml --initial $concurrency --max-tasks ${POINTS_MAX:-40}"
if command -v sbatch > /dev/null; then
    sbatch --job-name search --nodes "$NODES" --time "$walltime" ${QUEUE:+--partition "$QUEUE"} \
        --output "$OUTPUT/search-%j.out" --export ALL --wrap "$command"
elif command -v qsub > /dev/null; then
    qsub -N search -l "select=$NODES" -l "walltime=$walltime" ${QUEUE:+-q "$QUEUE"} \
        -j oe -o "$OUTPUT/" -V -S /bin/bash <<< "$command"
else
    echo "neither sbatch nor qsub is here: use main.sh" >&2
    exit 1
fi
