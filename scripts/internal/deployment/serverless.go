package deployment

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// component is a serverless.yml of the multi-scf component (document
// 1154/129052), with the keys that we use. What is not here is refused.
type component struct {
	App       string `yaml:"app"`
	Stage     string `yaml:"stage"`
	Component string `yaml:"component"`
	Name      string `yaml:"name"`
	Inputs    struct {
		Src struct {
			Src     string   `yaml:"src"`
			Exclude []string `yaml:"exclude"`
		} `yaml:"src"`
		Region     string                 `yaml:"region"`
		Runtime    string                 `yaml:"runtime"`
		Namespace  string                 `yaml:"namespace"`
		Type       string                 `yaml:"type"`
		MemorySize int                    `yaml:"memorySize"`
		Timeout    int                    `yaml:"timeout"`
		VPC        *scfVPC                `yaml:"vpcConfig"` // of functions without one of their own
		Functions  map[string]scfFunction `yaml:"functions"`
		Triggers   []trigger              `yaml:"triggers"`
	} `yaml:"inputs"`
}

// web reports whether a function is a web function. inputs.type is event.
func (c component) web(function string) bool { return c.Inputs.Functions[function].Type == "web" }

type trigger struct {
	Type       string     `yaml:"type"`
	Function   string     `yaml:"function"`
	Parameters parameters `yaml:"parameters"`
}

type scfFunction struct {
	Name        string  `yaml:"name"`
	Type        string  `yaml:"type"` // event or web; "" as inputs.type says
	Src         string  `yaml:"src"`
	Handler     string  `yaml:"handler"`
	Description string  `yaml:"description"`
	Role        string  `yaml:"role"`
	MemorySize  int     `yaml:"memorySize"`
	Timeout     int     `yaml:"timeout"`
	VPC         *scfVPC `yaml:"vpcConfig"`
	Environment struct {
		Variables map[string]string `yaml:"variables"`
	} `yaml:"environment"`

	// Of asynchronous invocations, which bring jobs: how often the platform repeats
	// one that failed, how long it keeps one, in seconds, and the CMQ topic or queue
	// that gets those it gives up.
	RetryNum   *int `yaml:"retryNum"`
	MsgTTL     *int `yaml:"msgTTL"`
	DeadLetter *struct {
		Type string `yaml:"type"`
		Name string `yaml:"name"`
	} `yaml:"deadLetter"`
}

type scfVPC struct {
	VPCID    string `yaml:"vpcId"`
	SubnetID string `yaml:"subnetId"`
}

// parameters are those of both kinds of trigger that we use: http is a function
// URL, timer a schedule.
type parameters struct {
	Name      string `yaml:"name"`
	Qualifier string `yaml:"qualifier"`
	Enable    *bool  `yaml:"enable"`

	AuthType  string `yaml:"authType"`
	NetConfig struct {
		EnableIntranet bool `yaml:"enableIntranet"`
		EnableExtranet bool `yaml:"enableExtranet"`
	} `yaml:"netConfig"`

	CronExpression string `yaml:"cronExpression"`
	Argument       string `yaml:"argument"`
}

const (
	// SCF's bounds (document 583/11637): MaxEnvironment is of names and values, in bytes.
	MaxEnvironment = 4 << 10
	maxTimeout     = 900
	maxMemory      = 3072
	// maxName leaves room for the rest of the deployed name, 60 bytes at most.
	maxName = 40
	// builtInto is where scripts/build.sh leaves a folder for each function,
	// and built the program's name in it.
	builtInto = "./build/tencent"
	built     = "main"
)

// The two forms of a deployment to Tencent: one function for everything, and a function
// for each feature. A deployment has one of them.
const (
	TencentBundle = "serverless.yml"
	TencentSplit  = "serverless.split.yml"
)

// Tencent reads the functions of both files for Tencent.
func Tencent(root fs.FS) ([]Function, error) {
	bundle, err := Serverless(root, TencentBundle)
	split, splitErr := Serverless(root, TencentSplit)
	return append(bundle, split...), errors.Join(err, splitErr)
}

// Serverless reads a serverless.yml below root, "." being the repository. An unknown
// key, a handler or source path that the build does not create, a trigger without
// function and anything that SCF would refuse are faults, each with its line; all are
// reported together.
func Serverless(root fs.FS, file string) ([]Function, error) {
	in, err := fs.ReadFile(root, file)
	if err != nil {
		return nil, err
	}
	_, out, err := read(root, file, in)
	return out, err
}

// read reads a file; root nil leaves out what only a repository has.
func read(root fs.FS, file string, in []byte) (c component, out []Function, err error) {
	doc, err := document(in)
	if err != nil {
		return c, nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := errors.Join(shape(doc, reflect.TypeFor[component](), "")...); err != nil {
		return c, nil, fmt.Errorf("%s:\n%w", file, err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(in))
	if err := dec.Decode(&c); err != nil {
		return c, nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return c, nil, fmt.Errorf("%s: there is a second YAML document, which nothing would heed: take it out", file)
	}
	check := checker{root: root}
	check.component(c, doc)
	check.references(doc)
	check.triggers(c, get(doc, "inputs", "triggers"))
	for key, node := range pairs(get(doc, "inputs", "functions")) {
		f := c.Inputs.Functions[key.Value]
		check.function(key.Value, f, node)
		out = append(out, Function{Name: key.Value, Environment: f.Environment.Variables, Line: key.Line})
	}
	if err := errors.Join(check.faults...); err != nil {
		return c, nil, fmt.Errorf("%s:\n%w", file, err)
	}
	return c, out, nil
}

// SCF is the content of a serverless.yml, with defaults filled in and ${env:NAME}
// unchanged.
type SCF struct {
	App, Stage, Name, Region, Namespace string
	Source                              string // folder with the zips, relative to the file
	Functions                           []SCFFunction
}

// SCFFunction is one function with its triggers.
type SCFFunction struct {
	Key, Name         string // folder below functions/, and the name given to it, often ""
	Description, Role string
	Web               bool
	Memory, Timeout   int // MB, seconds
	VPC, Subnet       string
	Environment       map[string]string
	Async             bool // RetryNum and MsgTTL are given
	RetryNum, MsgTTL  int
	DeadType, Dead    string
	Triggers          []SCFTrigger
}

// SCFTrigger is a function URL, or a timer if Cron is given.
type SCFTrigger struct {
	Name, Cron, Argument string
	Intranet             bool
}

// ReadSCF reads a serverless.yml for deploying it, as strictly as [Serverless].
func ReadSCF(file string, in []byte) (SCF, error) {
	c, list, err := read(nil, file, in)
	if err != nil {
		return SCF{}, err
	}
	i := c.Inputs
	out := SCF{App: c.App, Stage: c.Stage, Name: c.Name, Region: i.Region, Namespace: cmp.Or(i.Namespace, "default"), Source: i.Src.Src}
	for _, f := range list {
		is := i.Functions[f.Name]
		s := SCFFunction{
			Key: f.Name, Name: is.Name, Description: is.Description, Role: is.Role, Web: cmp.Or(is.Type, i.Type) == "web",
			Memory: cmp.Or(is.MemorySize, i.MemorySize, 128), Timeout: cmp.Or(is.Timeout, i.Timeout, 3), Environment: is.Environment.Variables,
		}
		if vpc := cmp.Or(is.VPC, i.VPC); vpc != nil {
			s.VPC, s.Subnet = vpc.VPCID, vpc.SubnetID
		}
		if is.RetryNum != nil && is.MsgTTL != nil {
			s.Async, s.RetryNum, s.MsgTTL = true, *is.RetryNum, *is.MsgTTL
		}
		if d := is.DeadLetter; d != nil {
			s.DeadType, s.Dead = d.Type, d.Name
		}
		for _, t := range i.Triggers {
			if t.Function == f.Name {
				s.Triggers = append(s.Triggers, SCFTrigger{t.Parameters.Name, t.Parameters.CronExpression, t.Parameters.Argument, t.Parameters.NetConfig.EnableIntranet})
			}
		}
		out.Functions = append(out.Functions, s)
	}
	return out, nil
}

// checker collects what the types alone do not say.
type checker struct {
	root   fs.FS
	faults []error
}

// want records a fault at the node unless ok.
func (c *checker) want(ok bool, n *yaml.Node, format string, args ...any) {
	if !ok {
		c.faults = append(c.faults, fmt.Errorf("line %d: %s", n.Line, fmt.Sprintf(format, args...)))
	}
}

func (c *checker) component(f component, doc *yaml.Node) {
	in, n := f.Inputs, near(doc, "inputs")
	c.want(f.Component == "multi-scf", near(doc, "component"), "component must be multi-scf")
	c.want(f.App != "" && f.Stage != "" && f.Name != "", doc, "app, stage and name must be set")
	c.want(in.Src.Src == builtInto, near(n, "src"), "src.src must be %s, where scripts/build.sh puts the programs", builtInto)
	c.want(in.Region != "", n, "region must be set")
	c.want(in.Runtime == "Go1", near(n, "runtime"), "runtime must be Go1")
	c.want(in.Type == "event", near(n, "type"), "type must be event")
	c.want(in.Namespace == "" || in.Namespace == "default", near(n, "namespace"), "namespace must be default, where functions call each other for jobs")
	c.want(len(in.Functions) > 0, near(n, "functions"), "there is no function")
	c.size(n, in.MemorySize, in.Timeout)
}

// Reference is ${env:NAME}, which stands for a value of the environment.
var Reference = regexp.MustCompile(`\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}`)

// replaced are the places where references are replaced, "*" being any key.
var replaced = [][]string{
	{"stage"},
	{"inputs", "region"},
	{"inputs", "vpcConfig", "*"},
	{"inputs", "functions", "*", "name"},
	{"inputs", "functions", "*", "role"},
	{"inputs", "functions", "*", "vpcConfig", "*"},
	{"inputs", "functions", "*", "deadLetter", "name"},
	{"inputs", "functions", "*", "environment", "variables", "*"},
}

// references looks for references that would be deployed as they stand.
func (c *checker) references(n *yaml.Node, at ...string) {
	for key, value := range pairs(n) {
		c.references(value, append(slices.Clip(at), key.Value)...)
	}
	if n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			c.references(item, append(slices.Clip(at), "-")...)
		}
	}
	if n.Kind != yaml.ScalarNode || !strings.Contains(n.Value, "${") {
		return
	}
	c.want(!strings.Contains(Reference.ReplaceAllString(n.Value, ""), "${"), n, "only ${env:NAME} is replaced, and this is another reference")
	c.want(slices.ContainsFunc(replaced, func(place []string) bool {
		return slices.EqualFunc(place, at, func(want, is string) bool { return want == "*" || want == is })
	}), n, "${env:NAME} is not replaced here: write the value")
}

func (c *checker) triggers(f component, list *yaml.Node) {
	taken, urls := map[string]bool{}, map[string]bool{}
	for i, t := range f.Inputs.Triggers {
		n, p := list.Content[i], t.Parameters
		_, known := f.Inputs.Functions[t.Function]
		c.want(known, n, "there is no function %q", t.Function)
		c.want(p.Name != "" && !taken[t.Function+" "+p.Name], n, "a trigger needs a name of its own")
		taken[t.Function+" "+p.Name] = true
		c.want(p.Qualifier == "" || p.Qualifier == "$DEFAULT", n, "qualifier must be $DEFAULT, the alias that releases and rollbacks move")
		switch t.Type {
		case "http":
			c.want(!urls[t.Function], n, "%s has a function URL already, and a function has one", t.Function)
			urls[t.Function] = true
			c.want(p.Enable == nil || *p.Enable, n, "a function URL cannot be off: take the trigger out")
			// The component's default is a function URL that nobody can reach.
			c.want(p.AuthType == "NONE" && p.NetConfig.EnableExtranet, n,
				"a function URL needs authType NONE, since IM does not sign as CAM asks, and netConfig.enableExtranet true")
			c.want(p.CronExpression == "" && p.Argument == "", n, "a function URL takes no parameters of a timer")
		case "timer":
			c.want(!f.web(t.Function), n, "%s is a web function, which hears HTTP alone: the program ticks by itself while an instance runs", t.Function)
			c.want(len(strings.Fields(p.CronExpression)) == 7, n, "cronExpression must have seven fields, seconds first")
			c.want(p.Enable != nil && *p.Enable, n, "a timer must be enabled; by default it is not")
			c.want(p.AuthType == "" && !p.NetConfig.EnableExtranet && !p.NetConfig.EnableIntranet, n, "a timer takes no parameters of a function URL")
		default:
			c.want(false, n, "type must be http or timer")
		}
	}
}

func (c *checker) function(name string, f scfFunction, n *yaml.Node) {
	c.want(functionName.MatchString(name) && len(name) <= maxName, n, "%q: a name is lower-case words joined by -, at most %d bytes", name, maxName)
	c.want(f.Src == "./"+name, near(n, "src"), "src must be ./%s, which scripts/build.sh makes", name)
	c.want(f.Handler == built, near(n, "handler"), "handler must be %s, the program that scripts/build.sh makes", built)
	if c.root != nil {
		_, err := fs.Stat(c.root, path.Join("functions", name, "main.go"))
		c.want(err == nil, n, "functions/%s has no main.go", name)
	}
	c.want(f.Type == "" || f.Type == "event" || f.Type == "web", near(n, "type"), "type must be event or web")
	c.want(f.Type != "web" || f.RetryNum == nil && f.MsgTTL == nil && f.DeadLetter == nil, n, "a web function hears HTTP alone: retryNum, msgTTL and deadLetter are of event functions")
	if retry, ttl := f.RetryNum, f.MsgTTL; retry != nil || ttl != nil {
		c.want(retry != nil && ttl != nil && *retry >= 0 && *retry <= 2 && *ttl >= 60 && *ttl <= 21600, n,
			"retryNum is 0 to 2 and msgTTL 60 to 21600 seconds, both or none")
	}
	if d := f.DeadLetter; d != nil {
		c.want((d.Type == "CMQ-TOPIC" || d.Type == "CMQ-QUEUE") && d.Name != "", near(n, "deadLetter"), "type is CMQ-TOPIC or CMQ-QUEUE, and name is its name")
	}
	c.size(n, f.MemorySize, f.Timeout)
	size := 0
	for key, value := range f.Environment.Variables {
		size += len(key) + len(value)
	}
	c.want(size <= MaxEnvironment, near(n, "environment"), "the environment has %d bytes; SCF takes %d", size, MaxEnvironment)
}

// size checks memory in MB and timeout in seconds, where they are given.
func (c *checker) size(n *yaml.Node, memory, timeout int) {
	c.want(memory == 0 || memory == 64 || memory%128 == 0 && memory > 0 && memory <= maxMemory,
		near(n, "memorySize"), "memorySize must be 64 or a multiple of 128 up to %d", maxMemory)
	c.want(timeout >= 0 && timeout <= maxTimeout, near(n, "timeout"), "timeout must be 1 to %d seconds", maxTimeout)
}
