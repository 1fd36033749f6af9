#!/bin/sh
# Install bankai-edge into a private environment beside this checkout and run its demo.
set -eu
cd "$(dirname "$0")/.."
. tools/check/environment.sh
environment -- "[image]"
exec bankai-edge demo
