package repotest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestAlarmsAreReachable: what alarms on our own metrics name is what programs write.
func TestAlarmsAreReachable(t *testing.T) {
	text, metrics := read(t, "template.yaml"), read(t, "shared/metric/metric.go")
	found := 0
	for _, m := range regexp.MustCompile(`Namespace: Backchannel\n      MetricName: (\w+)\n`).FindAllStringSubmatch(text, -1) {
		if found++; !strings.Contains(metrics, `("`+m[1]+`", `) {
			t.Errorf("an alarm looks at %s, which nobody writes", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`MetricName=\\"(\w+)\\"`).FindAllStringSubmatch(text, -1) {
		if found++; !strings.Contains(metrics, `("`+m[1]+`", `) {
			t.Errorf("the dashboard shows %s, which nobody writes", m[1])
		}
	}
	if found < 8 {
		t.Errorf("only %d places found", found)
	}
	for _, words := range []string{"callback rule failed", "job is dead"} {
		if !strings.Contains(text, `$.msg = "`+words+`"`) {
			t.Errorf("no filter looks for %q", words)
		}
	}
	if !strings.Contains(read(t, "shared/im/callback/dispatch.go"), `"callback rule failed"`) || !strings.Contains(read(t, "shared/queue/ledger.go"), `"job is dead"`) {
		t.Error("the log says otherwise what the filters of template.yaml look for")
	}
}

// TestAlarmsAreCounted: the page of costs has as many alarms as the template. One over
// an expression costs as much as its metrics do.
func TestAlarmsAreCounted(t *testing.T) {
	alarms, metrics := 0, 0
	for resource := range strings.SplitSeq(read(t, "template.yaml"), "\n\n") {
		if strings.Contains(resource, "Type: AWS::CloudWatch::Alarm\n") {
			alarms++
			metrics += max(1, strings.Count(resource, " MetricStat:\n"))
		}
	}
	want := fmt.Sprintf("%d alarms over %d metrics are %.1f USD", alarms, metrics, 0.1*float64(metrics))
	if !strings.Contains(read(t, "docs/deploy-aws.md"), want) {
		t.Errorf("docs/deploy-aws.md does not say %q", want)
	}
}

// TestAlarmsAreExplained: whoever gets the email of an alarm finds what to do.
func TestAlarmsAreExplained(t *testing.T) {
	page := read(t, "docs/operate.md")
	names := regexp.MustCompile(`(?m)^  (\w+):\n    Type: AWS::CloudWatch::Alarm$`).FindAllStringSubmatch(read(t, "template.yaml"), -1)
	if len(names) < 5 {
		t.Fatalf("only %d alarms found", len(names))
	}
	for _, m := range names {
		if !regexp.MustCompile("(?m)^\\| `" + m[1] + "` \\| [^|]+ \\| [^|]+ \\|$").MatchString(page) {
			t.Errorf("docs/operate.md does not say what %s means and what to do", m[1])
		}
	}
	if n := strings.Count(page, "Alarm` |"); n != len(names) {
		t.Errorf("docs/operate.md explains %d alarms of %d", n, len(names))
	}
}

// awsCLI stands for the AWS CLI: it writes down its arguments, and answers what the
// test put into files.
const awsCLI = `#!/usr/bin/env bash
echo "$*" >> "$FAKE/calls"
case "$1 $2" in
  'cloudformation describe-stacks')
    if [[ -f $FAKE/refusal ]]; then cat "$FAKE/refusal" >&2; exit 255; fi
    if [[ ! -f $FAKE/status ]]; then echo 'An error occurred (ValidationError) when calling the DescribeStacks operation: Stack with id backchannel does not exist' >&2; exit 254; fi
    if [[ $* == *CallbackUrl* ]]; then
      if grep -q execute-change-set "$FAKE/calls" && [[ -f $FAKE/url-after ]]; then cat "$FAKE/url-after"; else echo https://x.lambda-url.eu-central-1.on.aws/im; fi
    elif [[ $* == *Outputs* ]]; then printf 'CallbackUrl\thttps://x.lambda-url.eu-central-1.on.aws/im\tfor IM\n'; else cat "$FAKE/status"; fi ;;
  'cloudformation package') for a; do [[ ${prev-} == --output-template-file ]] && head -c 60000 /dev/zero > "$a"; prev=$a; done ;; # as long as ours with long forms
  's3 cp') [[ ! -f $FAKE/fails-upload && -f $3 ]] && echo "https://s3.eu-central-1.amazonaws.com/${4#s3://}" > "$FAKE/uploaded" ;;
  'configure get') echo eu-central-1 ;;
  'cloudformation create-change-set') for a; do
      if [[ ${prev-} == --template-body && $(stat -c %s "${a#file://}") -gt 51200 ]]; then echo 'Member must have length less than or equal to 51200' >&2; exit 254; fi
      if [[ ${prev-} == --template-url && $a != "$(cat "$FAKE/uploaded")" ]]; then echo "no template at $a" >&2; exit 254; fi
      if [[ ${prev-} == --parameters ]]; then file=${a#file://}; cp "$file" "$FAKE/parameters"; stat -c '%a %n' "$file" > "$FAKE/parameters-at"; fi
      prev=$a
    done
    [[ ! -f $FAKE/fails-create-change-set ]] ;;
  'cloudformation wait') [[ ! -f $FAKE/fails-$3 ]] ;;
  'cloudformation describe-change-set') if [[ $* == *StatusReason* ]]; then cat "$FAKE/reason"; else printf 'Modify\tBundle\tAWS::Lambda::Function\tFalse\n'; fi ;;
  'cloudformation list-stack-resources') printf 'fn-a\tfn-b' ;;
  'lambda get-alias') if [[ $* == *fn-a* ]]; then cat "$FAKE/alias" 2> /dev/null || printf '12\tNone\n'; else printf '1\tNone\n'; fi ;;
  'lambda update-alias') [[ ! -f $FAKE/fails-update-alias ]] ;;
  'lambda list-versions-by-function') if [[ $* == *fn-a* ]]; then printf '$LATEST\t9\t12\t11\t2'; else printf '$LATEST\t1'; fi ;;
  'lambda get-account-settings') echo 110 ;;
esac
`

// appSecret is a parameter that nobody else may see, with what JSON quotes.
const appSecret = `a "secret", of C:\this test=1`

// TestDeployAWS runs scripts/deploy-aws.sh with a CLI that only writes down.
func TestDeployAWS(t *testing.T) {
	dir := t.TempDir()
	for file, text := range map[string]string{
		"scripts/deploy-aws.sh": read(t, "scripts/deploy-aws.sh"), "template.yaml": "x: 1\n", "build/aws/bundle/bootstrap": "a program",
		"bin/aws": awsCLI, "params": "SdkAppId=1400000001\n# a comment\nAllowedOrigins=https://a.example.com,https://b.example.com\nAppSecret=" + appSecret + "\n",
	} {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	calls, parameters := "", map[string]string{}
	do := func(files map[string]string, args ...string) (string, error) {
		fake := t.TempDir()
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(fake, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "scripts/deploy-aws.sh"), args...)
		cmd.Env = append(os.Environ(), "FAKE="+fake, "AWS_REGION=", "AWS_DEFAULT_REGION=", "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		b, _ := os.ReadFile(filepath.Join(fake, "calls"))
		calls = string(b)
		clear(parameters)
		if b, err := os.ReadFile(filepath.Join(fake, "parameters")); err == nil {
			var list []struct{ ParameterKey, ParameterValue string }
			if err := json.Unmarshal(b, &list); err != nil {
				t.Errorf("the file of parameters: %v\n%s", err, b)
			}
			for _, p := range list {
				parameters[p.ParameterKey] = p.ParameterValue
			}
			at, _ := os.ReadFile(filepath.Join(fake, "parameters-at"))
			mode, file, _ := strings.Cut(strings.TrimSpace(string(at)), " ")
			if mode != "600" {
				t.Errorf("the file of parameters has mode %s", mode)
			}
			if _, err := os.Stat(file); err == nil {
				t.Errorf("%s, with the secrets, stays behind", file)
			}
		}
		if strings.Contains(calls, "secret") || strings.Contains(string(out), appSecret) {
			t.Errorf("a secret is an argument or printed:\n%s%s", calls, out)
		}
		return string(out), err
	}
	want := func(out string, err error, fails bool, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(out, part) {
				t.Errorf("%q is not in\n%s", part, out)
			}
		}
		if (err != nil) != fails {
			t.Errorf("%v\n%s", err, out)
		}
	}
	out, err := do(nil, "-bucket", "b", "-params", filepath.Join(dir, "params"), "plan")
	want(out, err, false, "Modify   Bundle", "not executed")
	if strings.Contains(calls, "execute-change-set") || !strings.Contains(calls, "--change-set-type CREATE") || !strings.Contains(calls, "delete-change-set") {
		t.Errorf("calls\n%s", calls)
	}
	first := parameters["Release"]
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(first) || len(parameters) != 4 || parameters["SdkAppId"] != "1400000001" ||
		parameters["AllowedOrigins"] != "https://a.example.com,https://b.example.com" || parameters["AppSecret"] != appSecret {
		t.Errorf("parameters %q", parameters)
	}
	for _, fails := range []string{"fails-create-change-set", "fails-upload"} {
		out, err = do(map[string]string{fails: ""}, "-bucket", "b", "-params", filepath.Join(dir, "params"), "plan")
		want(out, err, true, "nothing was changed")
	}
	out, err = do(map[string]string{"status": "UPDATE_COMPLETE"}, "-bucket", "b", "-yes", "deploy")
	want(out, err, false, "CallbackUrl", "for IM")
	if !strings.Contains(calls, "execute-change-set") || !strings.Contains(calls, "--change-set-type UPDATE") || !strings.Contains(calls, "wait stack-update-complete") {
		t.Errorf("calls\n%s", calls)
	}
	if parameters["Release"] == first {
		t.Error("other parameters make the same release")
	}
	out, err = do(map[string]string{"status": "UPDATE_COMPLETE", "fails-change-set-create-complete": "", "reason": "The submitted information didn't contain changes."}, "-bucket", "b", "deploy")
	want(out, err, false, "nothing to deploy")
	out, err = do(map[string]string{"status": "ROLLBACK_COMPLETE"}, "-bucket", "b", "deploy")
	want(out, err, true, "delete-stack")
	out, err = do(map[string]string{"status": "UPDATE_COMPLETE", "fails-stack-update-complete": ""}, "-bucket", "b", "-yes", "deploy")
	want(out, err, true, "taken back")
	out, err = do(map[string]string{"status": "UPDATE_COMPLETE"}, "plan")
	want(out, err, true, "-bucket is missing")
	out, err = do(map[string]string{"status": "UPDATE_COMPLETE"}, "rollback")
	want(out, err, false, "fn-a: version 11 is in force, instead of 12", "fn-b: version 1 has none before it")
	// No share of the traffic stays with the version that is taken back.
	if !strings.Contains(calls, "--function-name fn-a --name live --function-version 11 --routing-config AdditionalVersionWeights={} --description rolled back from 12 to 11\n") {
		t.Errorf("calls\n%s", calls)
	}
	// A rollback that is repeated, since it was interrupted, goes back once.
	out, err = do(map[string]string{"status": "UPDATE_COMPLETE", "alias": "11\trolled back from 12 to 11\n"}, "rollback")
	want(out, err, false, "fn-a: version 11 is in force since a rollback")
	if strings.Contains(calls, "update-alias") {
		t.Errorf("calls\n%s", calls)
	}
	// The release after it is taken back to what was in force before, not to what was bad.
	out, err = do(map[string]string{"status": "UPDATE_COMPLETE", "alias": "12\trolled back from 11 to 9\n"}, "rollback")
	want(out, err, false, "fn-a: version 9 is in force, instead of 12")
	out, err = do(map[string]string{"status": "UPDATE_COMPLETE", "fails-update-alias": ""}, "rollback")
	want(out, err, true, "run rollback again")
	out, err = do(map[string]string{"status": "UPDATE_IN_PROGRESS"}, "rollback")
	want(out, err, true, "cancel-update-stack")
	for _, verb := range []string{"rollback", "outputs"} {
		out, err = do(nil, verb)
		want(out, err, true, "there is no stack backchannel", "AWS_REGION")
	}
	// That AWS cannot be asked does not mean that there is no stack.
	for refusal, says := range map[string]string{
		"Unable to locate credentials. You can configure credentials by running \"aws configure\".":                                                       "run aws configure",
		"The config profile (prod) could not be found":                                                                                                    "AWS_PROFILE",
		"An error occurred (ExpiredToken) when calling the DescribeStacks operation: The security token included in the request is expired":               "log in again",
		"An error occurred (InvalidClientTokenId) when calling the DescribeStacks operation: The security token included in the request is invalid.":      "give new keys",
		"The SSO session associated with this profile has expired or is otherwise invalid.":                                                               "aws sso login",
		"An error occurred (AccessDenied) when calling the DescribeStacks operation: User: u is not authorized to perform: cloudformation:DescribeStacks": "cloudformation:DescribeStacks",
		"You must specify a region. You can also configure your region by running \"aws configure\".":                                                     "set AWS_REGION",
		"Could not connect to the endpoint URL: \"https://cloudformation.eu-central-9.amazonaws.com/\"":                                                   "AWS was not reached",
		"An error occurred (Throttling) when calling the DescribeStacks operation: Rate exceeded":                                                         "is not known: An error occurred (Throttling)",
	} {
		for _, verb := range []string{"plan", "deploy", "outputs", "rollback"} {
			out, err = do(map[string]string{"refusal": refusal}, "-bucket", "b", verb)
			want(out, err, true, "deploy-aws.sh: ", says)
			if strings.Contains(out, "there is no stack") || strings.Count(calls, "\n") != 1 {
				t.Errorf("%s went on after %q:\n%s%s", verb, refusal, calls, out)
			}
		}
	}
	out, err = do(map[string]string{"status": "UPDATE_COMPLETE", "url-after": "https://y.lambda-url.eu-central-1.on.aws/im"}, "-bucket", "b", "-yes", "deploy")
	want(out, err, false, "The callback URL has changed from https://x.lambda-url.eu-central-1.on.aws/im to https://y.lambda-url.eu-central-1.on.aws/im", "IM's console")
	out, err = do(map[string]string{"status": "UPDATE_COMPLETE"}, "-bucket", "b", "deploy") // nobody answers
	want(out, err, true, "not executed")
	if strings.Contains(out, "has changed") || strings.Contains(calls, "execute-change-set") {
		t.Errorf("%s\ncalls\n%s", out, calls)
	}
	if err := os.WriteFile(filepath.Join(dir, "params"), []byte("ReservedCallbacks=50\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err = do(nil, "-bucket", "b", "-params", filepath.Join(dir, "params"), "deploy")
	want(out, err, true, "110 concurrent executions", "Service Quotas")
	// Jobs of the bundle share its reservation.
	for params, fails := range map[string]bool{"ReservedCallbacks=5\n": true, "ReservedCallbacks=5\nDeployment=split\n": false} {
		if err := os.WriteFile(filepath.Join(dir, "params"), []byte(params), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err = do(nil, "-bucket", "b", "-params", filepath.Join(dir, "params"), "plan")
		want(out, err, fails)
		if strings.Contains(out, "up to 30 jobs") != fails {
			t.Errorf("%s:\n%s", params, out)
		}
	}
	out, err = do(nil, "destroy")
	want(out, err, true, "usage:")
}
