// Package apipage renders the OpenAPI document as one HTML page that needs no tool: it
// has no script and loads no other file.
package apipage

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Source and Page are the document and the page rendered from it.
const (
	Source = "docs/openapi.yaml"
	Page   = "docs/api.html"
)

// tag is a chapter of the page.
type tag struct {
	Name, About string
	Operations  []operation
}

type operation struct {
	Method, Path, Summary, About string
	Callers                      string
	Parameters                   []parameter
	Body                         string
	Answers                      []answer
}

type parameter struct {
	Name, In, Type, About string
	Required              bool
}

type answer struct{ Status, About, Shape string }

// document reads what the page shows; maps keep no order, so methods are sorted.
type document struct {
	info map[string]any
	root map[string]any
}

var methods = []string{"get", "post", "put", "patch", "delete"}

// HTML returns the page of a document.
func HTML(source []byte) ([]byte, error) {
	var root map[string]any
	if err := yaml.Unmarshal(source, &root); err != nil {
		return nil, err
	}
	d := document{root: root}
	d.info, _ = root["info"].(map[string]any)
	var tags []tag
	list, _ := root["tags"].([]any)
	for _, t := range list {
		m, _ := t.(map[string]any)
		tags = append(tags, tag{Name: text(m["name"]), About: text(m["description"])})
	}
	paths, _ := root["paths"].(map[string]any)
	var names []string
	for path := range paths {
		names = append(names, path)
	}
	slices.Sort(names)
	found := 0
	for _, path := range names {
		item, _ := paths[path].(map[string]any)
		for _, method := range methods {
			op, is := item[method].(map[string]any)
			if !is {
				continue
			}
			found++
			o := d.operation(method, path, item, op)
			name := "others"
			if of, _ := op["tags"].([]any); len(of) > 0 {
				name = text(of[0])
			}
			i := slices.IndexFunc(tags, func(t tag) bool { return t.Name == name })
			if i < 0 {
				tags, i = append(tags, tag{Name: name}), len(tags)
			}
			tags[i].Operations = append(tags[i].Operations, o)
		}
	}
	if found == 0 {
		return nil, errors.New("the document has no operation")
	}
	var b bytes.Buffer
	err := page.Execute(&b, map[string]any{"Title": text(d.info["title"]), "About": text(d.info["description"]), "Tags": tags})
	return b.Bytes(), err
}

func text(v any) string {
	if v == nil {
		return ""
	}
	return strings.TrimSpace(fmt.Sprint(v))
}

// resolve follows a reference within the document.
func (d document) resolve(v any) map[string]any {
	m, _ := v.(map[string]any)
	for range 10 {
		ref, is := m["$ref"].(string)
		if !is {
			return m
		}
		at := any(d.root)
		for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			parent, _ := at.(map[string]any)
			at = parent[part]
		}
		m, _ = at.(map[string]any)
	}
	return m
}

func (d document) operation(method, path string, item, op map[string]any) operation {
	o := operation{Method: strings.ToUpper(method), Path: path, Summary: text(op["summary"]), About: text(op["description"])}
	var callers []string
	security, _ := op["security"].([]any)
	for _, s := range security {
		m, _ := s.(map[string]any)
		switch {
		case m["apiKey"] != nil:
			callers = append(callers, "servers, by API key")
		case m["userSig"] != nil:
			callers = append(callers, "users, by UserSig")
		}
	}
	o.Callers = cmp.Or(strings.Join(callers, "; "), "as its description says")
	for _, from := range []any{item["parameters"], op["parameters"]} {
		list, _ := from.([]any)
		for _, p := range list {
			m := d.resolve(p)
			required, _ := m["required"].(bool)
			o.Parameters = append(o.Parameters, parameter{text(m["name"]), text(m["in"]), d.shape(m["schema"], 0), text(m["description"]), required})
		}
	}
	o.Body = d.content(d.resolve(op["requestBody"]))
	answers, _ := op["responses"].(map[string]any)
	for status, a := range answers {
		m := d.resolve(a)
		o.Answers = append(o.Answers, answer{status, text(m["description"]), d.content(m)})
	}
	slices.SortFunc(o.Answers, func(a, b answer) int { return strings.Compare(a.Status, b.Status) })
	return o
}

// content is the shape of a JSON body.
func (d document) content(m map[string]any) string {
	kinds, _ := m["content"].(map[string]any)
	is, _ := kinds["application/json"].(map[string]any)
	if is == nil {
		return ""
	}
	return d.shape(is["schema"], 0)
}

// maxDepth bounds how deep a shape is shown; schemas may contain themselves.
const maxDepth = 5

// shape writes a schema as a reader of JSON would.
func (d document) shape(schema any, depth int) string {
	m := d.resolve(schema)
	if depth > maxDepth {
		return "…"
	}
	for _, key := range []string{"oneOf", "anyOf"} {
		if list, is := m[key].([]any); is {
			var parts []string
			for _, s := range list {
				parts = append(parts, d.shape(s, depth+1))
			}
			return strings.Join(parts, " | ")
		}
	}
	if list, is := m["allOf"].([]any); is {
		var parts []string
		for _, s := range list {
			parts = append(parts, d.shape(s, depth))
		}
		return strings.Join(parts, " + ")
	}
	if v, is := m["const"]; is {
		return fmt.Sprintf("%q", text(v))
	}
	if list, is := m["enum"].([]any); is {
		var parts []string
		for _, v := range list {
			parts = append(parts, text(v))
		}
		return strings.Join(parts, " | ")
	}
	if properties, is := m["properties"].(map[string]any); is {
		return d.object(m, properties, depth)
	}
	switch kind := text(m["type"]); kind {
	case "array":
		return "[" + d.shape(m["items"], depth+1) + "]"
	case "object":
		if m["additionalProperties"] != nil && m["additionalProperties"] != false {
			return "{name: " + d.shape(m["additionalProperties"], depth+1) + "}"
		}
		return "{}"
	case "string":
		return cmp.Or(text(m["format"]), "text")
	case "":
		return "any"
	default:
		return kind
	}
}

func (d document) object(m, properties map[string]any, depth int) string {
	var names []string
	for name := range properties {
		names = append(names, name)
	}
	slices.Sort(names)
	required, _ := m["required"].([]any)
	indent := strings.Repeat("  ", depth+1)
	var b strings.Builder
	b.WriteString("{\n")
	for _, name := range names {
		optional := "?"
		if slices.Contains(required, any(name)) {
			optional = ""
		}
		fmt.Fprintf(&b, "%s%s%s: %s", indent, name, optional, d.shape(properties[name], depth+1))
		if about := text(d.resolve(properties[name])["description"]); about != "" {
			fmt.Fprintf(&b, "   // %s", about)
		}
		b.WriteByte('\n')
	}
	b.WriteString(strings.Repeat("  ", depth) + "}")
	return b.String()
}

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"id": func(o operation) string {
		return strings.ToLower(o.Method) + strings.NewReplacer("/", "-", "{", "", "}", "").Replace(o.Path)
	},
}).Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; background: #fff; }
code, pre { font: 14px/1.45 ui-monospace, monospace; } pre { background: #f4f6f8; padding: .7rem; overflow-x: auto; }
h2 { margin-top: 3rem; border-bottom: 1px solid #d5dae0; } h3 { margin-top: 2.2rem; } .callers { color: #57606a; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top; }
@media (prefers-color-scheme: dark) { body { color: #e6e9ed; background: #14171a; } pre { background: #1f2429; } a { color: #7ab8ff; } .callers { color: #9aa4ae; } }
</style>
</head>
<body>
<h1>{{.Title}}</h1>
<p>{{.About}}</p>
<p>Made of docs/openapi.yaml by go run ./scripts/settings. A question mark stands at what may be left out.</p>
<nav>
{{range .Tags}}<p><b>{{.Name}}</b>: {{range .Operations}}<a href="#{{id .}}">{{.Method}} {{.Path}}</a> · {{end}}</p>
{{end}}</nav>
{{range .Tags}}<h2>{{.Name}}</h2>
<p>{{.About}}</p>
{{range .Operations}}<h3 id="{{id .}}"><code>{{.Method}} {{.Path}}</code></h3>
<p>{{.Summary}}</p>
{{with .About}}<p>{{.}}</p>
{{end}}<p class="callers">Callers: {{.Callers}}</p>
{{with .Parameters}}<table>
<tr><th>parameter</th><th>in</th><th>type</th><th></th></tr>
{{range .}}<tr><td><code>{{.Name}}</code>{{if .Required}} (required){{end}}</td><td>{{.In}}</td><td>{{.Type}}</td><td>{{.About}}</td></tr>
{{end}}</table>
{{end}}{{with .Body}}<p>Body:</p>
<pre>{{.}}</pre>
{{end}}{{range .Answers}}<p><code>{{.Status}}</code> {{.About}}</p>
{{if and .Shape (lt .Status "300")}}<pre>{{.Shape}}</pre>
{{end}}{{end}}{{end}}{{end}}</body>
</html>
`))
