package deployment_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/backchannel-im/backchannel/scripts/internal/deployment"
	"github.com/backchannel-im/backchannel/shared/config"
)

const serverlessYML = `app: backchannel
stage: prod
component: multi-scf
name: im
inputs:
  src:
    src: ./build/tencent
    exclude: ['*.zip']
  region: ap-guangzhou
  runtime: Go1
  type: event
  memorySize: 128
  timeout: 10
  functions:
    echo:
      src: ./echo
      handler: main
      environment:
        variables:
          SECRET: ${env:SECRET}
  triggers:
    - type: http
      function: echo
      parameters:
        name: url
        authType: NONE
        netConfig:
          enableExtranet: true
    - type: timer
      function: echo
      parameters:
        name: minute
        cronExpression: '0 * * * * * *'
        enable: true
`

func repository(serverless string) fstest.MapFS {
	return fstest.MapFS{
		"serverless.yml":         {Data: []byte(serverless)},
		"functions/echo/main.go": {Data: []byte("package main")},
	}
}

func TestServerless(t *testing.T) {
	got, err := deployment.Serverless(repository(serverlessYML), "serverless.yml")
	if err != nil || len(got) != 1 || got[0].Name != "echo" || got[0].Line != 15 || got[0].Environment["SECRET"] != "${env:SECRET}" {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestReadSCF: what stands below inputs holds for each function that has none of its
// own, in the words of the component's page (1154/129052).
func TestReadSCF(t *testing.T) {
	text := strings.Replace(serverlessYML, "  timeout: 10", "  timeout: 10\n  vpcConfig: {vpcId: vpc-all, subnetId: subnet-all}", 1)
	text = strings.Replace(text, "  triggers:", `    other:
      src: ./other
      handler: main
      retryNum: 1
      msgTTL: 60
      deadLetter: {type: CMQ-QUEUE, name: dead}
      vpcConfig: {vpcId: vpc-own, subnetId: subnet-own}
  triggers:`, 1)
	got, err := deployment.ReadSCF("serverless.yml", []byte(text))
	if err != nil || len(got.Functions) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	echo, other := got.Functions[0], got.Functions[1]
	if echo.VPC != "vpc-all" || echo.Subnet != "subnet-all" || echo.Async || echo.Dead != "" {
		t.Errorf("%+v", echo)
	}
	if other.VPC != "vpc-own" || !other.Async || other.RetryNum != 1 || other.MsgTTL != 60 || other.DeadType != "CMQ-QUEUE" || other.Dead != "dead" {
		t.Errorf("%+v", other)
	}
}

func TestServerlessFaults(t *testing.T) {
	for name, c := range map[string]struct{ old, with, want string }{
		"unknown key":            {"  memorySize: 128", "  memorysize: 128", "line 12: inputs.memorysize is no key that is known here: correct its name"},
		"unknown key, function":  {"      handler: main", "      Handler: main", "line 17: inputs.functions.echo.Handler is no key"},
		"unknown key, trigger":   {"        authType: NONE", "        authtype: NONE", "line 26: inputs.triggers[1].parameters.authtype is no key"},
		"given twice":            {"  timeout: 10", "  timeout: 10\n  timeout: 20", "line 14: inputs.timeout is given twice, first on line 13"},
		"text for a number":      {"  timeout: 10", "  timeout: soon", `line 13: inputs.timeout must be a whole number without quotes, and is the text "soon"`},
		"quoted number":          {"  timeout: 10", `  timeout: "10"`, `line 13: inputs.timeout must be a whole number without quotes, and is the text "10"`},
		"half a number":          {"  timeout: 10", "  timeout: 1.5", "line 13: inputs.timeout must be a whole number without quotes, and is the number 1.5"},
		"list for a number":      {"  timeout: 10", "  timeout: [10]", "line 13: inputs.timeout must be a whole number without quotes, and is a list"},
		"text for a switch":      {"        enable: true", "        enable: always", `line 34: inputs.triggers[2].parameters.enable must be true or false, and is the text "always"`},
		"list for a text":        {"SECRET: ${env:SECRET}", "SECRET: [a, b]", "line 20: inputs.functions.echo.environment.variables.SECRET must be a text, and is a list"},
		"text for keys":          {"      environment:\n        variables:\n          SECRET: ${env:SECRET}", "      environment: a text that is longer than anybody wants to read", `line 18: inputs.functions.echo.environment must be keys with values, as in "key: value", and is the text "a text that is longe"...`},
		"keys for a list":        {"    - type: http\n      function: echo\n      parameters:\n        name: url\n        authType: NONE\n        netConfig:\n          enableExtranet: true\n    - type: timer\n      function: echo\n      parameters:\n        name: minute\n        cronExpression: '0 * * * * * *'\n        enable: true\n", "    http: echo\n", `line 22: inputs.triggers must be a list, as in "- item", and is keys with values`},
		"list for the file":      {serverlessYML, "- app\n", "line 1: the file must be keys with values"},
		"not YAML":               {"inputs:", "inputs: [", "yaml: line"},
		"empty":                  {serverlessYML, "", "the file is empty"},
		"other component":        {"multi-scf", "scf", "line 3: component must be multi-scf"},
		"other source":           {"./build/tencent", "./", "src.src must be ./build/tencent"},
		"no region":              {"  region: ap-guangzhou\n", "", "region must be set"},
		"web function":           {"type: event", "type: web", "line 11: type must be event"},
		"other runtime":          {"Go1", "CustomRuntime", "line 10: runtime must be Go1"},
		"odd memory":             {"memorySize: 128", "memorySize: 100", "line 12: memorySize must be"},
		"long timeout":           {"timeout: 10", "timeout: 901", "line 13: timeout must be"},
		"no such program":        {"handler: main", "handler: index.main", "line 17: handler must be main"},
		"no such folder":         {"    echo:\n", "    eco:\n", "functions/eco has no main.go"},
		"other folder":           {"src: ./echo", "src: ./other", "line 16: src must be ./echo"},
		"trigger of nobody":      {"    - type: http\n      function: echo", "    - type: http\n      function: eco", `line 22: there is no function "eco"`},
		"retired trigger":        {"- type: http", "- type: apigw", "line 22: type must be http or timer"},
		"unreachable URL":        {"enableExtranet: true", "enableExtranet: false", "line 22: a function URL needs authType NONE"},
		"URL behind CAM":         {"authType: NONE", "authType: CAM", "line 22: a function URL needs authType NONE"},
		"cron of five fields":    {"0 * * * * * *", "* * * * *", "line 29: cronExpression must have seven fields"},
		"timer that never fires": {"        enable: true\n", "", "line 29: a timer must be enabled"},
		"same name":              {"name: minute", "name: url", "line 29: a trigger needs a name of its own"},
		"not the component's":    {"      handler: main", "      handler: main\n      vpc: {vpcId: v}", "line 18: inputs.functions.echo.vpc is no key"},
		"half of the retries":    {"      handler: main", "      handler: main\n      retryNum: 2", "line 16: retryNum is 0 to 2 and msgTTL 60 to 21600 seconds, both or none"},
		"other dead letters":     {"      handler: main", "      handler: main\n      deadLetter: {type: SQS, name: x}", "line 18: type is CMQ-TOPIC"},
		"web function's timer":   {"      handler: main", "      handler: main\n      type: web", "line 30: echo is a web function, which hears HTTP alone"},
		"web function's retries": {"      handler: main", "      handler: main\n      type: web\n      retryNum: 2\n      msgTTL: 60", "line 16: a web function hears HTTP alone"},
		"second document":        {"        enable: true\n", "        enable: true\n---\nstage: test\n", "second YAML document"},
		"other reference":        {"${env:SECRET}", "${env.SECRET}", "line 20: only ${env:NAME} is replaced"},
		"reference to a stage":   {"${env:SECRET}", "im-${stage}", "line 20: only ${env:NAME} is replaced"},
		"reference kept":         {"      handler: main", "      handler: main\n      description: of ${env:STAGE}", "line 18: ${env:NAME} is not replaced here"},
		"reference in a trigger": {"'0 * * * * * *'", "${env:CRON} * * * * * *", "line 33: ${env:NAME} is not replaced here"},
		"other qualifier":        {"name: minute", "name: minute\n        qualifier: $LATEST", "line 29: qualifier must be $DEFAULT"},
		"other namespace":        {"type: event", "type: event\n  namespace: prod", "line 12: namespace must be default"},
		"URL that is off":        {"authType: NONE", "authType: NONE\n        enable: false", "line 22: a function URL cannot be off"},
		"two URLs":               {"    - type: timer", "    - type: http\n      function: echo\n      parameters: {name: two, authType: NONE, netConfig: {enableExtranet: true}}\n    - type: timer", "line 29: echo has a function URL already"},
		"timer with a net":       {"        enable: true\n", "        enable: true\n        netConfig: {enableIntranet: true}\n", "line 29: a timer takes no parameters of a function URL"},
		"environment too large":  {"${env:SECRET}", strings.Repeat("x", 4096), "line 19: the environment has 4102 bytes"},
	} {
		if !strings.Contains(serverlessYML, c.old) {
			t.Fatalf("%s: nothing to replace", name)
		}
		_, err := deployment.Serverless(repository(strings.Replace(serverlessYML, c.old, c.with, 1)), "serverless.yml")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
		if err != nil && regexp.MustCompile(`deployment\.|unmarshal|!!|\bstruct\b`).MatchString(err.Error()) {
			t.Errorf("%s: the message speaks of Go: %v", name, err)
		}
	}
	// A merged mapping and the words of YAML 1.1 are read.
	merged := strings.Replace(serverlessYML, "  memorySize: 128\n", "  <<: {memorySize: 128}\n", 1)
	if got, err := deployment.ReadSCF("serverless.yml", []byte(strings.Replace(merged, "enable: true", "enable: yes", 1))); err != nil || got.Functions[0].Memory != 128 {
		t.Errorf("%+v, %v", got, err)
	}
	all := strings.NewReplacer("handler: main", "handler: x", "type: event", "type: web").Replace(serverlessYML)
	if _, err := deployment.Serverless(repository(all), "serverless.yml"); err == nil || strings.Count(err.Error(), "\nline ") != 2 {
		t.Errorf("not all faults together: %v", err)
	}
}

const samYAML = `Globals:
  Function:
    Environment:
      Variables:
        SDK_APP_ID: !Ref SdkAppId
        LOG_LEVEL: info
Resources:
  Table:
    Type: AWS::DynamoDB::Table
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: build/aws/echo
      Environment:
        Variables:
          STATE_URL: !Sub dynamodb:${Table}
          LOG_LEVEL: debug
          PORT: 80
`

func TestSAM(t *testing.T) {
	root := repository("")
	root["template.yaml"] = &fstest.MapFile{Data: []byte(samYAML)}
	got, err := deployment.SAM(root, "template.yaml")
	if err != nil || len(got) != 1 || got[0].Name != "echo" || got[0].Line != 10 {
		t.Fatalf("%+v, %v", got, err)
	}
	want := map[string]string{"SDK_APP_ID": "", "LOG_LEVEL": "debug", "STATE_URL": "", "PORT": "80"}
	for name, value := range want {
		if v, ok := got[0].Environment[name]; !ok || v != value {
			t.Errorf("%s is %q, %v; want %q", name, v, ok, value)
		}
	}
	if len(got[0].Environment) != len(want) {
		t.Errorf("environment %v", got[0].Environment)
	}
	for old, c := range map[string]struct{ with, want string }{
		"build/aws/echo": {"functions/echo", "line 10: the CodeUri of Echo must be build/aws/NAME"},
		"aws/echo":       {"aws/eco", "functions/eco has no main.go"},
		"  Table:\n    Type: AWS::DynamoDB::Table\n": {
			"  Twin:\n    Type: AWS::Serverless::Function\n    Properties:\n      CodeUri: build/aws/echo\n", "line 12: functions/echo is here twice",
		},
	} {
		root["template.yaml"].Data = []byte(strings.Replace(samYAML, old, c.with, 1))
		if _, err := deployment.SAM(root, "template.yaml"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v; want %q", c.with, err, c.want)
		}
	}
}

func TestCheckEnvironment(t *testing.T) {
	settings := []config.Setting{{Name: "A", Required: true}, {Name: "B", Required: true}, {Name: "C"}}
	f := deployment.Function{Name: "echo", Line: 7, Environment: map[string]string{"A": "", "B_FILE": "", "C": ""}}
	if got := deployment.CheckEnvironment(f, settings); len(got) != 0 {
		t.Errorf("faults %q", got)
	}
	f.Environment = map[string]string{"A": "", "D": ""}
	want := []string{"line 7: echo needs B, which is not given", "line 7: echo is given D, which it does not read"}
	if got := deployment.CheckEnvironment(f, settings); !slices.Equal(got, want) {
		t.Errorf("faults %q", got)
	}
}
