package knowledge

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a folder.
const (
	MaxPage  = 1 << 20  // bytes of a page
	MaxPages = 20_000   // pages
	maxText  = 4000     // bytes of a passage; what is longer is cut into several
	maxTotal = 32 << 20 // bytes of all pages
)

// Compile makes an image of the Markdown files of a folder, .md and .markdown, in
// all its subfolders. Files and folders whose names begin with a dot are left out.
// The same files give the same bytes. Errors name the file.
func Compile(folder fs.FS) ([]byte, error) {
	var passages []Passage
	sum, total, pages := sha256.New(), 0, 0
	err := fs.WalkDir(folder, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name != "." && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if ext := strings.ToLower(path.Ext(name)); d.IsDir() || ext != ".md" && ext != ".markdown" {
			return nil
		}
		text, err := fs.ReadFile(folder, name)
		switch {
		case err != nil:
			return err
		case !utf8.Valid(text):
			return fmt.Errorf("%s is not UTF-8", name)
		case len(text) > MaxPage:
			return fmt.Errorf("%s has %d bytes (at most %d)", name, len(text), MaxPage)
		}
		pages++
		if total += len(text); total > maxTotal || pages > MaxPages {
			return fmt.Errorf("the folder has more than %d pages or %d bytes", MaxPages, maxTotal)
		}
		fmt.Fprintf(sum, "%q %d\n", name, len(text))
		_, _ = sum.Write(text)
		passages = append(passages, split(name, string(text))...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("knowledge: %w", err)
	}
	if len(passages) == 0 {
		return nil, fmt.Errorf("knowledge: the folder has no Markdown files with text")
	}
	return encode(hex.EncodeToString(sum.Sum(nil)[:6]), passages), nil
}

// split cuts a page into passages, at its headings. A text before the first one
// belongs to the page, whose name is its title then.
func split(page, text string) []Passage {
	var out []Passage
	var at [7]string // the heading of each level that is in force
	used := map[string]int{}
	level, anchor := 0, ""
	var body strings.Builder
	flush := func() {
		content := strings.TrimSpace(body.String())
		body.Reset()
		if content == "" {
			return
		}
		var above []string
		for _, h := range at[1 : level+1] {
			if h != "" {
				above = append(above, h)
			}
		}
		if len(above) == 0 {
			above = []string{strings.TrimSuffix(path.Base(page), path.Ext(page))}
		}
		for _, part := range pieces(content) {
			out = append(out, Passage{Page: page, Anchor: anchor, Path: above, Text: part})
		}
	}
	text = strings.TrimPrefix(text, "\ufeff")
	fence := ""
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	if len(lines) > 0 && strings.TrimSpace(lines[0]) == "---" { // front matter
		for i := 1; i < len(lines); i++ {
			if strings.TrimSpace(lines[i]) == "---" {
				lines = lines[i+1:]
				break
			}
		}
	}
	for _, line := range lines {
		trimmed := strings.TrimSpace(line)
		if fence == "" && (strings.HasPrefix(trimmed, "```") || strings.HasPrefix(trimmed, "~~~")) {
			fence = trimmed[:3]
		} else if fence != "" && strings.HasPrefix(trimmed, fence) {
			fence = ""
		} else if n := len(trimmed) - len(strings.TrimLeft(trimmed, "#")); fence == "" && n > 0 && n < len(at) && (len(trimmed) == n || trimmed[n] == ' ' || trimmed[n] == '\t') {
			flush()
			heading := strings.TrimSpace(strings.TrimRight(strings.TrimSpace(trimmed[n:]), "#"))
			clear(at[n:])
			at[n], level = heading, n
			anchor = Anchor(heading)
			if k := used[anchor]; k > 0 {
				used[anchor]++
				anchor = fmt.Sprintf("%s-%d", anchor, k)
			} else {
				used[anchor] = 1
			}
			continue
		}
		body.WriteString(line)
		body.WriteByte('\n')
	}
	flush()
	return out
}

// pieces cuts a text that is too long at paragraphs, or else between lines or
// characters.
func pieces(text string) []string {
	var out []string
	for len(text) > maxText {
		cut := strings.LastIndex(text[:maxText], "\n\n")
		if cut <= 0 {
			cut = strings.LastIndex(text[:maxText], "\n")
		}
		if cut <= 0 {
			for cut = maxText; cut > 0 && !utf8.RuneStart(text[cut]); cut-- {
			}
		}
		out = append(out, strings.TrimSpace(text[:cut]))
		text = strings.TrimSpace(text[cut:])
	}
	return append(out, text)
}

// Anchor is the anchor of a heading as GitHub and most generators make it: lower
// case, hyphens for spaces, no other marks. A page's second heading of the same
// words has -1 behind it.
func Anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), unicode.Is(unicode.M, r), r == '-', r == '_', r == 'ー':
			return unicode.ToLower(r)
		case r == ' ', r == '\t':
			return '-'
		}
		return -1
	}, heading)
}
