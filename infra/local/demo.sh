#!/usr/bin/env bash
# Reviews a real diff, from the message to the verified manifest and a report. Runs inside `stack.py run`, which provides
# the environment of a stack.
set -euo pipefail
cd "$(dirname "$0")/../.."

bcce=target/debug/bcce
report=target/demo/report.html
code=('*.rs' '*.py' '*.sh' '*.asl.json' '*.yaml')
# The largest diff, in bytes. It is well below the limit of 1 MiB for a message, because JSON escapes some characters. A
# local model accepts less.
most=${BRIDGED_MODEL:+12000}
most=${most:-300000}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

bold() { if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then printf '\033[1m%s\033[0m\n' "$*"; else printf '%s\n' "$*"; fi; }
run() { bold "\$ bcce $*"; "$bcce" "$@"; }

# Prints as many whole files of a commit as fit.
diff_of() {
    git show --format= --no-color --no-ext-diff "$1" -- "${code[@]}" | LC_ALL=C awk -v most=$most '
        function keep() { if (used + length(file) <= most) { printf "%s", file; used += length(file) } file = "" }
        /^diff --git / { keep() }
        { file = file $0 "\n" }
        END { keep() }'
}

# Chooses the last commit that changes code and has something to find, or the stored diff if none of the last commits
# has, or if there is no git history. Any commit will do for a model that is not scripted.
choose_diff() {
    if [ "$(git rev-parse --show-toplevel 2>/dev/null)" = "$PWD" ]; then
        for commit in $(git log -40 --no-merges --format=%h -- "${code[@]}"); do
            diff_of "$commit" >"$work/change.diff"
            [ -s "$work/change.diff" ] || continue
            if [ -z "${SCRIPTED_MODEL_URL:-}" ] || [ "$(target/debug/scripted-model --count-findings <"$work/change.diff")" -gt 0 ]; then
                subject=$(git log -1 --format='commit %h, "%s"' "$commit")
                return
            fi
        done
    fi
    cp events/workflow/sample.diff "$work/change.diff"
    subject="events/workflow/sample.diff, a change to this project"
}

# Lets a model of the scripted model behave like this in a region: plant REGION MODEL ACTION.
plant() {
    .venv/bin/python - "$@" <<'PYTHON'
import json, os, sys, urllib.request
region, model, action = sys.argv[1:]
body = json.dumps({"region": region, "model": model, "fault": {"call": action}}).encode()
urllib.request.urlopen(urllib.request.Request(os.environ["SCRIPTED_MODEL_URL"] + "/__plant", body, method="POST"))
PYTHON
}

print_review() {
    "$bcce" runs output "$1" | .venv/bin/python -c '
import json, sys, textwrap
review = json.load(sys.stdin)
print(review["verdict"].replace("_", " ").upper())
print(textwrap.fill(review["summary"], 96))
for finding in review["findings"]:
    place = ":".join(str(finding[name]) for name in ("file", "line") if name in finding)
    print("\n  %s, %s  %s" % (finding["severity"], finding["area"], place))
    print(textwrap.fill(finding["message"], 96, initial_indent="    ", subsequent_indent="    "))
'
}

choose_diff
echo
bold "A code review on BCCE, on this machine: $subject ($(grep -c '^diff --git ' "$work/change.diff") files, $(wc -c <"$work/change.diff") bytes)"
if [ -n "${SCRIPTED_MODEL_URL:-}" ]; then
    echo "The model is SCRIPTED and not Claude: a program of this project implements Bedrock's API and finds"
    echo "issues by simple rules. Tokens and cost are computed from its answers; nothing was charged."
    echo "In us-east-1, Claude Sonnet is out of service. The first step calls Haiku there; then the run has to fail over."
    plant us-east-1 anthropic.claude-haiku-5-5 "slow(900)"
    plant us-east-1 anthropic.claude-sonnet-5-5 unavailable
    plant us-west-2 anthropic.claude-sonnet-5-5 "slow(1500)"
elif [ -n "${BRIDGED_MODEL:-}" ]; then
    echo "The answers come from the model $BRIDGED_MODEL instead of Claude."
    echo "The model reports the tokens. The cost is what Claude would have cost; it was not charged."
else
    echo "The answers come from the Bedrock endpoint ${BEDROCK_ENDPOINT_URL:-AWS}."
fi
echo "Everything else is the product: queue, state machine, functions, failover, artifacts, signature."
echo

id="demo-$(date -u +%Y%m%dT%H%M%SZ)-$$"
# The run id is derived from the tenant, the workflow and the request id.
run_id="code-review-$(printf 'default\0code-review\0%s' "$id" | sha256sum | cut -c1-32)"
run submit code-review --input "diff=@$work/change.diff" --id "$id" --wait
echo
bold "The review"
print_review "$run_id"
echo
run runs explain "$run_id"
echo
run runs verify "$run_id"
echo
mkdir -p "$(dirname "$report")"
run runs report "$run_id" --html "$report"
