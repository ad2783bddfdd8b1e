#!/usr/bin/env bash
# Pins anew what the project installs: dev.txt is the whole lock, the others are subsets of it,
# one for each image, which reads from buckets, too. `compile.sh --upgrade` takes newer releases;
# without it, pins stay.
# Needs pip-tools, of the Python that PYTHON names.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
  local extra=$1 file=requirements/$2
  shift 2
  "${PYTHON:-python}" -m piptools compile --quiet --strip-extras --no-emit-index-url \
    --no-emit-find-links --no-annotate --no-header --extra "$extra" "$@" \
    --output-file "$file" pyproject.toml
  # A local version such as +cpu names the index it came from, which not everyone has; and the
  # project itself is installed from its sources.
  sed -E -i.bak -e 's/^([^#+]+)\+[A-Za-z0-9.]+$/\1/' -e '/^prometheusgpt-mini([ =@]|$)/d' "$file"
  rm "$file.bak"
}

compile dev dev.txt "$@"
# From nothing, so that a pin which dev.txt has dropped cannot stay behind.
rm -f requirements/dataservice.txt requirements/trainer.txt
compile dataservice dataservice.txt --extra object-stores --extra parquet --constraint requirements/dev.txt
compile trainer trainer.txt --extra object-stores --constraint requirements/dev.txt
