#!/bin/bash
# Starts a program again whenever it ends, as systemd or a container engine would.
trap 'kill "$child" 2>/dev/null; exit 0' TERM INT
while true; do
  "$@" &
  child=$!
  wait "$child"
done
