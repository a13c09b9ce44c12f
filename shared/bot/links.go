package bot

import (
	"net/url"
	"strconv"
	"strings"
)

// What a model says may have been written by somebody else: a page, a tool, a user
// who wants to know what others said. A picture that a client loads tells its server
// whatever stands in its address. So links and pictures of Markdown stay only for
// hosts that an operator allows, and become their text otherwise.

// longestLink is how much of a link that does not end yet is held back while an
// answer is written, in bytes.
const longestLink = 2000

// loading are the tags of HTML that load something, or act.
var loading = []string{"img", "image", "picture", "source", "video", "audio", "iframe", "frame", "embed", "object", "link", "style", "script", "svg", "a", "form", "input", "base", "meta"}

// presenter makes what a model said fit to be shown.
type presenter struct {
	hosts []string // whose links stay
	// cites says which marks such as [1] are citations, of how many passages; nil
	// leaves marks as they are.
	cites func() int

	unknown int // citations of passages that were not found, in the last text
}

// present returns a text as it may be shown. While the text is being written, whole
// is false, and what may become a link is held back.
func (p *presenter) present(text string, whole bool) string {
	p.unknown = 0
	var out strings.Builder
	start := true // of a line
	for i := 0; i < len(text); {
		rest := text[i:]
		if start && (strings.HasPrefix(rest, "```") || strings.HasPrefix(rest, "~~~")) {
			end := fenced(rest)
			out.WriteString(rest[:end])
			i += end
			continue
		}
		atStart := start
		start = rest[0] == '\n' || start && (rest[0] == ' ' || rest[0] == '\t')
		switch rest[0] {
		case '!', '[':
			shown, n, open := p.bracket(rest, atStart)
			if open && !whole {
				return out.String()
			}
			if n > 0 {
				out.WriteString(shown)
				i += n
				continue
			}
		case '<':
			n, open := tag(rest)
			if open && !whole {
				return out.String()
			}
			if n > 0 {
				i += n
				continue
			}
		}
		out.WriteByte(rest[0])
		i++
	}
	return out.String()
}

// fenced returns the length of a block of code: what an unclosed fence begins is
// code to its end.
func fenced(text string) int {
	fence := text[:3]
	at := strings.IndexByte(text, '\n')
	for at >= 0 {
		line := text[at+1:]
		end := strings.IndexByte(line, '\n')
		if end < 0 {
			end = len(line)
		}
		if strings.HasPrefix(strings.TrimLeft(line[:end], " "), fence) {
			return at + 1 + end
		}
		next := strings.IndexByte(line, '\n')
		if next < 0 {
			break
		}
		at += 1 + next
	}
	return len(text)
}

// bracket looks at a text that starts with [ or with !. It returns what is shown of
// a link, picture, definition of a link or citation, and its length; open says that
// the text ends within what may be one.
func (p *presenter) bracket(text string, lineStart bool) (shown string, n int, open bool) {
	at := 0
	if text[0] == '!' {
		if len(text) == 1 {
			return "", 0, true
		}
		if text[1] != '[' {
			return "", 0, false
		}
		at = 1
	}
	end := closing(text, at, '[', ']')
	if end < 0 {
		return "", 0, len(text) < longestLink && !strings.Contains(text, "\n\n")
	}
	label := text[at+1 : end]
	if end+1 == len(text) {
		open = true
	} else {
		switch text[end+1] {
		case '(':
			stop := closing(text, end+1, '(', ')')
			if stop < 0 {
				if len(text) < longestLink && !strings.Contains(text[end:], "\n\n") {
					open = true
				} else {
					return inert(label), end + 1, false
				}
				break
			}
			if p.allowed(text[end+2 : stop]) {
				return text[:stop+1], stop + 1, false
			}
			return inert(label), stop + 1, false
		case ':':
			if !lineStart || at == 1 {
				break
			}
			line, _, found := strings.Cut(text, "\n")
			if !found && len(text) < longestLink {
				open = true
			}
			if dest := strings.TrimSpace(line[end+2:]); (strings.Contains(dest, "//") || strings.HasPrefix(dest, "data:")) && !p.allowed(dest) {
				return "", len(line), open
			}
		}
	}
	if at == 1 && !open { // a picture by reference
		return inert(label), end + 1, false
	}
	if p.cites != nil && at == 0 && len(label) <= 3 {
		if id, err := strconv.Atoi(label); err == nil && id > 0 && (id > p.cites()) {
			p.unknown++
			return "", end + 1, open
		}
	}
	if at == 1 {
		return inert(label), end + 1, open
	}
	return "", 0, open
}

// inert is the label of a refused link: without a link in it.
func inert(label string) string {
	return strings.NewReplacer("[", "", "]", "", "(", "", ")", "").Replace(label)
}

// closing returns where the bracket at a place ends, -1 if it does not.
func closing(text string, at int, opening, ending byte) int {
	depth := 0
	for i := at; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case opening:
			depth++
		case ending:
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// allowed reports whether the destination of a link is one of an allowed host.
func (p *presenter) allowed(dest string) bool {
	dest = strings.TrimSpace(dest)
	dest, _, _ = strings.Cut(dest, " ")
	dest = strings.Trim(dest, "<>")
	u, err := url.Parse(dest)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return false
	}
	host := strings.ToLower(u.Host)
	for _, h := range p.hosts {
		h = strings.ToLower(h)
		if host == h || u.Hostname() == h || strings.HasSuffix(u.Hostname(), "."+h) {
			return true
		}
	}
	return false
}

// tag returns the length of a tag of HTML that is left out.
func tag(text string) (n int, open bool) {
	name := strings.TrimPrefix(text[1:], "/")
	end := 0
	for end < len(name) && (name[end]|0x20 >= 'a' && name[end]|0x20 <= 'z') {
		end++
	}
	if end == len(name) && end < 10 {
		return 0, true
	}
	known := false
	for _, l := range loading {
		known = known || strings.EqualFold(name[:end], l)
	}
	if !known {
		return 0, false
	}
	// A longer one loses its < whether its end is there yet or not: what was shown
	// while the answer was written must stand in the end.
	if stop := strings.IndexByte(text[:min(len(text), longestLink)], '>'); stop >= 0 {
		return stop + 1, false
	}
	if len(text) < longestLink {
		return len(text), true
	}
	return 1, false
}
