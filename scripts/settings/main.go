// Command settings writes each function's .env.example and the tables of settings and
// callbacks in its README from the program's output with -settings.
//
//	go run ./scripts/settings [FUNCTION...]
//
// Without a name it writes those of all functions, docs/settings.md,
// serverless.env.example, docs/api.html, the table of features in CONTRIBUTING.md, and
// the table of erasures in docs/operate.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/backchannel-im/backchannel/scripts/internal/apipage"
	"github.com/backchannel-im/backchannel/scripts/internal/callbacks"
	"github.com/backchannel-im/backchannel/scripts/internal/deployment"
	"github.com/backchannel-im/backchannel/scripts/internal/settings"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/userdata"
	"github.com/backchannel-im/backchannel/shared/wiring/features"
	"github.com/backchannel-im/backchannel/shared/wiring/users"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "settings:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string) error {
	everything := len(names) == 0
	if everything {
		mains, err := filepath.Glob("functions/*/main.go")
		if err != nil || len(mains) == 0 {
			return errors.Join(err, errors.New("no functions here: run it in the repository's root"))
		}
		for _, m := range mains {
			names = append(names, filepath.Base(filepath.Dir(m)))
		}
	}
	tmp, err := os.MkdirTemp("", "settings")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	wanted, err := callbacks.All(ctx, deployment.Sample("bolt:unused"))
	if err != nil {
		return err
	}
	deployed, err := deployment.Tencent(os.DirFS("."))
	if err != nil {
		return err
	}
	all := map[string][]config.Setting{}
	for _, name := range names {
		list, err := ask(ctx, tmp, name)
		if err == nil {
			err = write(name, list, deployed, wanted)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all[name] = list
	}
	if !everything {
		return nil
	}
	if err := os.WriteFile(settings.Page, []byte(settings.All(all)), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(settings.TencentExample, []byte(settings.OfTencent(deployed, all)), 0o644); err != nil {
		return err
	}
	source, err := os.ReadFile(apipage.Source)
	if err != nil {
		return err
	}
	api, err := apipage.HTML(source)
	if err != nil {
		return fmt.Errorf("%s: %w", apipage.Source, err)
	}
	if err := os.WriteFile(apipage.Page, api, 0o644); err != nil {
		return err
	}
	for _, t := range []struct{ page, heading, table string }{
		{"CONTRIBUTING.md", settings.FeaturesHeading, settings.Features(features.All(), all)},
		{"docs/operate.md", "## What is kept of a user?", userdata.Table(users.Sources)},
	} {
		text, err := os.ReadFile(t.page)
		if err != nil {
			return err
		}
		page, err := settings.InReadme(string(text), t.heading, t.table)
		if err != nil {
			return fmt.Errorf("%s: %w", t.page, err)
		}
		if err := os.WriteFile(t.page, []byte(page), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// ask builds a function and asks it for its settings.
func ask(ctx context.Context, tmp, name string) ([]config.Setting, error) {
	binary := filepath.Join(tmp, name)
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./functions/"+name)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("go build: %w", err)
	}
	return settings.Of(ctx, binary)
}

func write(name string, list []config.Setting, deployed []deployment.Function, wanted []callbacks.Wanted) error {
	dir := filepath.Join("functions", name)
	if err := os.WriteFile(filepath.Join(dir, ".env.example"), []byte(settings.Example(name, list)), 0o644); err != nil {
		return err
	}
	path := filepath.Join(dir, "README.md")
	readme, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(os.Stderr, "settings: %s is missing, so there is no table to write\n", path)
		return nil
	} else if err != nil {
		return err
	}
	text, err := settings.InReadme(string(readme), settings.Heading, settings.Table(list, deployment.Gives(deployed, name)))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	table, err := callbacks.Table(name, wanted)
	if err != nil {
		return err
	}
	if text, err = settings.InReadme(text, callbacks.Heading, table); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
