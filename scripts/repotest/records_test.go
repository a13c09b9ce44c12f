package repotest

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/userdata"
	"github.com/backchannel-im/backchannel/shared/wiring/users"
)

// recordsFile has what records look like, beside the stores that releases left behind.
const recordsFile = "functions/bundle/testdata/releases/records.txt"

// TestRecordsKeepTheirForm: whoever changes what is stored decides whether a program of
// the release before may read it; see docs/decisions/0050. The test finds the types of
// records where the value of a kv.Item or the body of a queue.Job is decoded, and
// compares their JSON with what is written down.
func TestRecordsKeepTheirForm(t *testing.T) {
	var out strings.Builder
	now := storedRecords(t)
	for _, name := range slices.Sorted(maps.Keys(now)) {
		fmt.Fprintf(&out, "%s %s\n", name, now[name])
	}
	if len(now) < 30 {
		t.Fatalf("only %d types of records were found", len(now))
	}
	if os.Getenv("BACKCHANNEL_KEEP_RECORDS") != "" {
		if err := os.WriteFile(filepath.Join(root, recordsFile), []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept := map[string]string{}
	for line := range strings.Lines(read(t, recordsFile)) {
		name, fields, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		kept[name] = fields
	}
	changed := false
	for name := range now {
		if kept[name] != now[name] {
			changed = true
			t.Errorf("%s is stored, and was\n\t%s\nand is\n\t%s", name, kept[name], now[name])
		}
	}
	for name := range kept {
		if now[name] == "" {
			changed = true
			t.Errorf("%s was stored, and is no longer read", name)
		}
	}
	if changed {
		t.Errorf("may the release before read such a record, and write it back without what it does not know? Otherwise raise the form of its partitions in shared/wiring/forms.go and go on reading the one before. Then\n\tBACKCHANNEL_KEEP_RECORDS=1 go test -run TestRecordsKeepTheirForm ./scripts/repotest")
	}
}

// TestRecordsOfUsers: whoever stores something new says what an erasure does with it, in
// the userdata.go of its feature, or that it names no user; see docs/decisions/0051.
func TestRecordsOfUsers(t *testing.T) {
	said := map[string]bool{}
	for _, name := range users.Nameless {
		said[name] = true
	}
	for _, s := range users.Sources {
		for _, f := range s.Forms {
			for _, name := range f.Types {
				if slices.Contains(users.Nameless, name) {
					t.Errorf("%s is a form of %s, and among those that name no user", name, s.Feature)
				}
				said[name] = true
			}
		}
	}
	now := storedRecords(t)
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if !said[name] {
			t.Errorf("%s is stored, and nothing says what an erasure of a user does with it: add it to a form in the userdata.go of its feature or, if it names no user and holds no words of one, to Nameless in shared/wiring/users", name)
		}
		delete(said, name)
	}
	for _, name := range slices.Sorted(maps.Keys(said)) {
		t.Errorf("shared/wiring/users says what an erasure does with %s, which is not stored", name)
	}
}

// TestErasureTable: operators read what code says of an erasure.
func TestErasureTable(t *testing.T) {
	if table := userdata.Table(users.Sources); !strings.Contains(read(t, "docs/operate.md"), table) {
		t.Errorf("docs/operate.md has another table of what an erasure does: write it by\n\tgo run ./scripts/settings")
	}
}

// storedRecords returns the JSON of all types that stored values are decoded into, by
// package and type.
func storedRecords(t *testing.T) map[string]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-export", "-f", "{{.ImportPath}} {{.Export}}", "./shared/...")
	cmd.Dir, cmd.Stderr = root, os.Stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(text)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		exports[path] = file
	}
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	out := map[string]string{}
	for _, p := range listPackages(t) {
		path, shared := strings.CutPrefix(local(p.ImportPath), "shared/")
		if !shared || strings.HasSuffix(path, "test") || !slices.Contains(p.Imports, "encoding/json") {
			continue
		}
		var parsed []*ast.File
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, f)
		}
		info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
		pkg, err := (&types.Config{Importer: imports}).Check(p.ImportPath, fset, parsed, info)
		if err != nil {
			t.Fatal(err)
		}
		for _, typ := range decoded(pkg, parsed, info) {
			name := types.TypeString(typ, func(other *types.Package) string {
				if other == pkg {
					return ""
				}
				return other.Name()
			})
			out[path+":"+strings.ReplaceAll(name, " ", "_")] = jsonOf(typ, nil)
		}
	}
	return out
}

// decoded returns the types of a package that stored values are decoded into, also by
// functions that take what they decode into as a parameter.
func decoded(pkg *types.Package, files []*ast.File, info *types.Info) (found []types.Type) {
	into := map[types.Object]bool{} // parameters that are decoded into
	for again := true; again; {
		again = false
		found = nil
		for _, f := range files {
			for _, d := range f.Decls {
				fn, is := d.(*ast.FuncDecl)
				if !is || fn.Body == nil {
					continue
				}
				ast.Inspect(fn.Body, func(n ast.Node) bool {
					call, is := n.(*ast.CallExpr)
					if !is {
						return true
					}
					for _, arg := range targets(call, info, into) {
						typ := info.Types[arg].Type
						id, named := arg.(*ast.Ident)
						if named && parameter(fn, info.Uses[id], info) {
							if _, any := typ.Underlying().(*types.Interface); any {
								again = again || !into[info.Uses[id]]
								into[info.Uses[id]] = true
								continue
							}
						}
						if pointer, is := typ.Underlying().(*types.Pointer); is {
							typ = pointer.Elem()
						}
						if _, of := typ.(*types.TypeParam); of {
							continue // the packages that call it decode the same types themselves
						}
						found = append(found, typ)
					}
					return true
				})
			}
		}
	}
	return found
}

func parameter(fn *ast.FuncDecl, object types.Object, info *types.Info) bool {
	for _, field := range fn.Type.Params.List {
		for _, name := range field.Names {
			if info.Defs[name] == object {
				return true
			}
		}
	}
	return false
}

// targets are the arguments of a call that a stored value is decoded into.
func targets(call *ast.CallExpr, info *types.Info, into map[types.Object]bool) (out []ast.Expr) {
	var name *ast.Ident
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		name = fun
	case *ast.SelectorExpr:
		name = fun.Sel
	default:
		return nil
	}
	fn, is := info.Uses[name].(*types.Func)
	if !is || fn.Pkg() == nil {
		return nil
	}
	if fn.FullName() == "encoding/json.Unmarshal" {
		from, is := call.Args[0].(*ast.SelectorExpr)
		if !is {
			return nil
		}
		switch types.TypeString(info.Types[from.X].Type, nil) + "." + from.Sel.Name {
		case module + "shared/kv.Item.Value", module + "shared/queue.Job.Body", module + "shared/mailbox.Entry.Body":
			return call.Args[1:2]
		}
		return nil
	}
	params := fn.Signature().Params()
	for i := range min(params.Len(), len(call.Args)) {
		if into[params.At(i)] {
			out = append(out, call.Args[i])
		}
	}
	return out
}

// jsonOf writes down what a type looks like in JSON, as far as readers depend on it.
func jsonOf(t types.Type, within []types.Type) string {
	if slices.Contains(within, t) {
		return "..."
	}
	within = append(within, t)
	if named, is := t.(*types.Named); is {
		for m := range named.Methods() {
			if m.Name() == "MarshalJSON" || m.Name() == "MarshalText" || m.Name() == "UnmarshalJSON" {
				return "by-" + named.Obj().Name()
			}
		}
	}
	switch u := t.Underlying().(type) {
	case *types.Pointer:
		return jsonOf(u.Elem(), within)
	case *types.Slice:
		if b, is := u.Elem().Underlying().(*types.Basic); is && b.Kind() == types.Byte {
			return "base64"
		}
		return "[" + jsonOf(u.Elem(), within) + "]"
	case *types.Array:
		return "[" + jsonOf(u.Elem(), within) + "]"
	case *types.Map:
		return "{*:" + jsonOf(u.Elem(), within) + "}"
	case *types.Struct:
		var fields []string
		for i := range u.NumFields() {
			f := u.Field(i)
			tag, options, _ := strings.Cut(reflect.StructTag(u.Tag(i)).Get("json"), ",")
			is := jsonOf(f.Type(), within)
			switch {
			case tag == "-" || !f.Exported() && !f.Embedded():
				continue
			case f.Embedded() && tag == "":
				fields = append(fields, strings.TrimSuffix(strings.TrimPrefix(is, "{"), "}"))
				continue
			case tag == "":
				tag = f.Name()
			}
			if strings.Contains(options, "string") {
				is = "string"
			}
			fields = append(fields, tag+":"+is)
		}
		slices.Sort(fields)
		return "{" + strings.Join(fields, ";") + "}"
	case *types.Basic:
		switch {
		case u.Info()&types.IsInteger != 0:
			return "integer"
		case u.Info()&types.IsFloat != 0:
			return "number"
		}
		return u.Name()
	}
	return "any"
}
