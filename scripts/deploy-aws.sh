#!/usr/bin/env bash
# Deploy template.yaml with only the AWS CLI: package, show the change set, deploy, and
# print the values for the next steps; or roll back to the previous release.
#
# usage: scripts/deploy-aws.sh [flags] plan|deploy|outputs|rollback
#
#   plan           package, create a change set, show it, and do not execute it
#   deploy         the same, then execute it after a question
#   outputs        print the stack's outputs
#   rollback       point the alias "live" of every function to the previous version
#
#   -stack NAME    name of the stack; default backchannel
#   -bucket NAME   S3 bucket for the programs, in the stack's region; plan and deploy need it
#   -params FILE   lines ParameterName=value, as template.yaml describes them
#   -yes           execute without a question
#   -h             show this
set -euo pipefail
script=$(realpath "$0")
cd "$(dirname "$script")/.."

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$script"; }
die() { echo "deploy-aws.sh: $*" >&2; exit 1; }

stack=backchannel bucket='' params='' yes=''
while [[ ${1-} == -* ]]; do
  case $1 in
    -h) usage; exit ;;
    -stack) stack=${2-}; shift 2 || { usage >&2; exit 2; } ;;
    -bucket) bucket=${2-}; shift 2 || { usage >&2; exit 2; } ;;
    -params) params=${2-}; shift 2 || { usage >&2; exit 2; } ;;
    -yes) yes=1; shift ;;
    *) echo "deploy-aws.sh: unknown flag $1" >&2; usage >&2; exit 2 ;;
  esac
done
verb=${1-}
case $verb in
  plan | deploy | outputs | rollback) ;;
  *) usage >&2; exit 2 ;;
esac
command -v aws > /dev/null || die "the AWS CLI is not installed: https://docs.aws.amazon.com/cli/"

# status prints the stack's state, NONE where there is no stack. That AWS cannot be asked
# is no answer: it ends the script with what to do about it.
status() {
  local said
  if said=$(aws cloudformation describe-stacks --stack-name "$stack" --query 'Stacks[0].StackStatus' --output text 2>&1); then
    echo "$said"
    return
  fi
  case $said in
    *"does not exist"*) echo NONE ;;
    *"locate credentials"* | *"Partial credentials"* | *"config profile"*"could not be found"*)
      die "the AWS CLI has no credentials: run aws configure, or set AWS_PROFILE to a profile that has some. It says: $said" ;;
    *ExpiredToken* | *"oken has expired"* | *"SSO session"* | *InvalidClientTokenId* | *UnrecognizedClient* | *SignatureDoesNotMatch* | *AuthFailure* | *IncompleteSignature*)
      die "AWS refuses the credentials as expired or unknown: log in again (aws sso login) or give new keys, and check this machine's clock. It says: $said" ;;
    *AccessDenied* | *"not authorized"*)
      die "the credentials may not look at the stack $stack: they need cloudformation:DescribeStacks, and what docs/deploy-aws.md lists under Before you begin. It says: $said" ;;
    *"specify a region"*) die "the AWS CLI has no region: set AWS_REGION, or run aws configure" ;;
    *"connect to the endpoint"* | *"Connection"* | *"timed out"* | *"resolve host"*)
      die "AWS was not reached: check the region and the network. It says: $said" ;;
    *) die "the state of the stack $stack is not known: $said" ;;
  esac
}

outputs() {
  aws cloudformation describe-stacks --stack-name "$stack" --query 'Stacks[0].Outputs[].[OutputKey,OutputValue,Description]' --output text |
    while IFS=$'\t' read -r key value about; do printf '%-16s %s\n%-16s %s\n' "$key" "$value" '' "$about"; done
}

callback_url() {
  aws cloudformation describe-stacks --stack-name "$stack" --query "Stacks[0].Outputs[?OutputKey=='CallbackUrl'].OutputValue" --output text 2> /dev/null || true
}

nowhere="there is no stack $stack in this region: look in another with AWS_REGION, or name it with -stack"

rollback() {
  local ids id live about bad before is
  is=$(status)
  case $is in
    NONE) die "$nowhere" ;;
    *_IN_PROGRESS) die "the stack is being changed ($is): take that back with: aws cloudformation cancel-update-stack --stack-name $stack" ;;
  esac
  ids=$(aws cloudformation list-stack-resources --stack-name "$stack" \
    --query "StackResourceSummaries[?ResourceType=='AWS::Lambda::Function'].PhysicalResourceId" --output text)
  [[ -n $ids && $ids != None ]] || die "the stack $stack has no functions"
  for id in $ids; do
    IFS=$'\t' read -r live about < <(aws lambda get-alias --function-name "$id" --name live --query '[FunctionVersion,Description]' --output text) ||
      die "the alias live of $id cannot be read"
    if [[ $about == "rolled back from "*" to $live" ]]; then
      echo "$id: version $live is in force since a rollback"
      continue
    fi
    # Versions are numbers that grow; the one before is the largest below the live one
    # that no rollback left.
    bad=$(sed -n 's/^rolled back from \([0-9]*\) to .*/\1/p' <<< "$about")
    before=$(aws lambda list-versions-by-function --function-name "$id" --query 'Versions[].Version' --output text |
      tr '\t' '\n' | grep -E '^[0-9]+$' | awk -v live="$live" -v bad="$bad" '$1 + 0 < live + 0 && $1 != bad' | sort -n | tail -1)
    if [[ -z $before ]]; then
      echo "$id: version $live has none before it"
      continue
    fi
    aws lambda update-alias --function-name "$id" --name live --function-version "$before" \
      --routing-config 'AdditionalVersionWeights={}' --description "rolled back from $live to $before" > /dev/null ||
      die "$id was not taken back, and the functions after it were not tried: run rollback again when that is settled; it goes on where it stopped"
    echo "$id: version $before is in force, instead of $live"
  done
  echo "The next deploy puts the newest release into force again."
}

package() {
  local is=$1 quota reserved release region host
  case $is in
    ROLLBACK_COMPLETE)
      die "the stack's first creation failed, and CloudFormation takes nothing else for it but its deletion: read the reason under Events in the console, then: aws cloudformation delete-stack --stack-name $stack" ;;
    *_IN_PROGRESS) die "the stack is being changed ($is): wait until that has ended" ;;
    *_FAILED) die "the stack is in the state $is: read the reason under Events in the console and continue or cancel there" ;;
  esac
  [[ -n $bucket ]] || die "-bucket is missing: aws s3 mb s3://NAME makes one"
  [[ -d build/aws ]] || die "build/aws is missing: run scripts/build.sh first"
  overrides=()
  if [[ -n $params ]]; then
    while IFS= read -r line || [[ -n $line ]]; do
      [[ -z $line || $line == \#* ]] && continue
      [[ $line == *=* ]] || die "$params: \"$line\" is not ParameterName=value"
      overrides+=("${line%%=*}" "${line#*=}")
    done < "$params"
  fi
  reserved=$(sed -n 's/^ReservedCallbacks=//p' "${params:-/dev/null}")
  if [[ -n $reserved && $reserved != 0 ]]; then
    # MaximumConcurrency of the bundle's two lanes is 30 in template.yaml.
    if ((reserved <= 30)) && ! grep -qx 'Deployment=split' "${params:-/dev/null}"; then
      die "ReservedCallbacks=$reserved is too few: up to 30 jobs run in the bundle too and would take all of them; reserve more, 0 for none, or use Deployment=split"
    fi
    quota=$(aws lambda get-account-settings --query AccountLimit.UnreservedConcurrentExecutions --output text)
    # AWS keeps 100 for functions without a reservation.
    ((quota - reserved >= 100)) || die "the account has $quota concurrent executions that nobody reserved, and AWS keeps 100 of them: ReservedCallbacks=$reserved does not fit; ask for more under Service Quotas, or leave it 0"
  fi
  # A changed parameter must publish new versions as a changed program does.
  release=$( (find build/aws -type f -exec sha256sum {} + | LC_ALL=C sort; sha256sum template.yaml; cat "${params:-/dev/null}") | sha256sum | cut -c1-64)
  overrides+=(Release "$release")
  # Parameters may be secret, and arguments of a command are seen by all users of the
  # machine: they go to the CLI in a file that mktemp makes for its owner alone.
  packaged='' parameters=''
  trap 'rm -f "$packaged" "$parameters"' EXIT
  packaged=$(mktemp)
  parameters=$(mktemp)
  parameters_json "${overrides[@]}" > "$parameters"
  aws cloudformation package --template-file template.yaml --s3-bucket "$bucket" --s3-prefix "$stack" --output-template-file "$packaged" > /dev/null
  # With its short forms written out the template is longer than the 51,200 bytes that
  # the API takes itself; from a bucket it takes 1 MB.
  template="$stack/$release.template"
  aws s3 cp "$packaged" "s3://$bucket/$template" --only-show-errors ||
    die "the template was not uploaded to $bucket, for the reason above; nothing was changed"
  region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region)}}
  host="s3.$region.amazonaws.com"
  if [[ $region == cn-* ]]; then host+=.cn; fi
  template="https://$host/$bucket/$template"
}

# parameters_json prints names and values, one after the other, as the CLI takes them
# from a file.
parameters_json() {
  local comma=''
  echo '['
  while (($# > 0)); do
    printf '%s{"ParameterKey":%s,"ParameterValue":%s}\n' "$comma" "$(quoted "$1")" "$(quoted "$2")"
    comma=,
    shift 2
  done
  echo ']'
}

# quoted prints a line as a JSON string.
quoted() {
  local text=${1//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\t'/\\t}
  printf '"%s"' "${text//$'\r'/}"
}

changeset() {
  local is=$1 kind=UPDATE reason
  if [[ $is == NONE || $is == REVIEW_IN_PROGRESS ]]; then kind=CREATE; fi
  name="release-$(date -u +%Y%m%d%H%M%S)"
  aws cloudformation create-change-set --stack-name "$stack" --change-set-name "$name" --change-set-type "$kind" \
    --template-url "$template" --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --parameters "file://$parameters" > /dev/null ||
    die "the change set was not made, for the reason above; nothing was changed"
  if ! aws cloudformation wait change-set-create-complete --stack-name "$stack" --change-set-name "$name" 2> /dev/null; then
    reason=$(aws cloudformation describe-change-set --stack-name "$stack" --change-set-name "$name" --query StatusReason --output text)
    aws cloudformation delete-change-set --stack-name "$stack" --change-set-name "$name" > /dev/null
    case $reason in
      *"didn't contain changes"* | *"No updates"*) echo "nothing to deploy"; return 1 ;;
    esac
    die "CloudFormation refuses the change set: $reason"
  fi
  aws cloudformation describe-change-set --stack-name "$stack" --change-set-name "$name" --output text \
    --query 'Changes[].ResourceChange.[Action,LogicalResourceId,ResourceType,Replacement]' |
    while IFS=$'\t' read -r action id type replacement; do
      if [[ $replacement == True ]]; then type+='  REPLACED'; fi
      printf '%-8s %-24s %s\n' "$action" "$id" "$type"
    done
}

case $verb in
  outputs)
    is=$(status)
    [[ $is != NONE ]] || die "$nowhere"
    outputs
    exit ;;
  rollback) rollback; exit ;;
esac
is=$(status)
[[ $is != REVIEW_IN_PROGRESS ]] || is=NONE
package "$is"
changeset "$is" || { outputs; exit; }
if [[ $verb == plan ]]; then
  echo "not executed: change set $name of stack $stack; deploy makes a new one"
  aws cloudformation delete-change-set --stack-name "$stack" --change-set-name "$name" > /dev/null
  exit
fi
if [[ -z $yes ]]; then
  read -r -p "execute it? [y/N] " answer || answer=''
  [[ $answer == y ]] || { echo "not executed"; exit 1; }
fi
before=''
if [[ $is != NONE ]]; then before=$(callback_url); fi
aws cloudformation execute-change-set --stack-name "$stack" --change-set-name "$name"
if [[ $is == NONE ]]; then waited='stack-create-complete'; else waited='stack-update-complete'; fi
aws cloudformation wait "$waited" --stack-name "$stack" ||
  die "the deployment failed and was taken back: what stood before stands. The reason is under Events of the stack $stack in the console"
outputs
after=$(callback_url)
if [[ -n $before && $before != None && -n $after && $after != "$before" ]]; then
  echo "The callback URL has changed from $before to $after: enter the new one in IM's console, which calls the old one until then."
fi
