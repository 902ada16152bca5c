#!/usr/bin/env bash
# with_mpirun.sh RANKS PROGRAM...: runs it as so many processes of this machine. Exit status 77: there is no mpirun.
set -euo pipefail
if ! command -v mpirun >/dev/null; then
  echo "skipped: no mpirun; scripts/deps.sh cluster installs it"
  exit 77
fi
ranks=$1
shift
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
exec mpirun -n "$ranks" --oversubscribe --bind-to none "$@"
