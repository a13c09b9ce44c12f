// Command settings writes each function's .env.example and the settings table
// of its README from what the program says about itself.
//
//	go run ./scripts/settings [FUNCTION...]
//
// Without a name it does all functions.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/backchannel-im/backchannel/scripts/internal/settings"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "settings:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string) error {
	if len(names) == 0 {
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
	for _, name := range names {
		if err := write(ctx, tmp, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func write(ctx context.Context, tmp, name string) error {
	binary := filepath.Join(tmp, name)
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./functions/"+name)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	list, err := settings.Of(ctx, binary)
	if err != nil {
		return err
	}
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
	text, err := settings.InReadme(string(readme), settings.Table(list))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
