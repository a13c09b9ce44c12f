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

// longestLink is how many bytes of a label, of a link or of a tag are looked at, and
// so held back while an answer is written. What is shown while it is written must
// stand in the end: so what does not end within as many bytes is taken apart, whether
// its end is there yet or not.
const longestLink = 2000

// loading are the tags of HTML that load something, or act. Any other tag is left out
// where it has attributes: a style loads, too.
var loading = []string{"img", "image", "picture", "source", "track", "video", "audio", "iframe", "frame", "embed", "object", "link", "style", "script", "svg", "math", "a", "form", "input", "base", "meta", "body"}

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
	return p.shown(text, whole, false)
}

// shown is present for a part of a text: a label of a link has no blocks of code and
// no definitions.
func (p *presenter) shown(text string, whole, label bool) string {
	var out strings.Builder
	opened := -1 // where what was written has a < that no > follows
	// seal keeps what stands on both sides of something that is left out from being a
	// tag together.
	seal := func() {
		if opened < 0 {
			return
		}
		switch begun := out.String()[opened+1:]; {
		case begun == "" || begun == "/":
			out.WriteByte(' ')
		case isLetter(strings.TrimPrefix(begun, "/")[0]):
			out.WriteByte('>')
		}
		opened = -1
	}
	indent := 0      // spaces that the line begins with, -1 behind any text of it
	define := !label // whether a definition of a link can stand here
	if label {
		indent = -1
	}
	for i := 0; i < len(text); {
		rest := text[i:]
		if indent >= 0 && indent <= 3 && (strings.HasPrefix(rest, "```") || strings.HasPrefix(rest, "~~~")) {
			if end := fenced(rest, indent); end > 0 {
				out.WriteString(rest[:end])
				i += end
				indent, define, opened = -1, false, -1
				continue
			}
		}
		defined := define
		switch {
		case label:
		case rest[0] == '\n':
			indent, define = 0, true
		case rest[0] == ' ' && indent >= 0:
			indent++
		default:
			// Quotations and lists have definitions, too.
			indent, define = -1, define && strings.IndexByte(" \t>-*+.)0123456789", rest[0]) >= 0
		}
		var shown string
		var n int
		var open bool
		switch rest[0] {
		case '!', '[':
			shown, n, open = p.bracket(rest, defined)
		case ']':
			// It closes no bracket that was seen, but perhaps one that a renderer sees:
			// behind code, for example.
			open = len(rest) == 1
			if !open && rest[1] == '(' {
				shown, n = "] ", 1
			}
		case '<':
			n, open = tag(rest)
		case '>':
			opened = -1
		}
		if open && !whole {
			return out.String()
		}
		if n > 0 {
			seal()
			out.WriteString(shown)
			if at := strings.LastIndexByte(shown, '<'); at > strings.LastIndexByte(shown, '>') {
				opened = out.Len() - len(shown) + at
				seal()
			}
			i += n
			continue
		}
		if rest[0] == '<' {
			opened = out.Len()
		}
		out.WriteByte(rest[0])
		i++
	}
	return out.String()
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// fenced returns the length of a block of code that a fence begins, after so many
// spaces: what an unclosed fence begins is code to its end. It is 0 until the line of
// the fence has ended, and where it is code within a line.
func fenced(text string, indent int) int {
	first, _, found := strings.Cut(text, "\n")
	if !found || text[0] == '`' && strings.Contains(strings.TrimLeft(first, "`"), "`") || strings.ContainsAny(first, "[]<") {
		return 0
	}
	for at := len(first); at < len(text); {
		line, _, _ := strings.Cut(text[at+1:], "\n")
		bare := strings.TrimLeft(line, " ")
		end := at + 1 + len(line)
		if strings.HasPrefix(bare, text[:3]) {
			return end
		}
		// In a list the block ends with its item.
		if bare != "" && len(line)-len(bare) < indent {
			return at
		}
		at = end
	}
	return len(text)
}

// near returns how much of a text decides what its start is: at most longestLink
// bytes, and no empty line. whole tells that no more text will change it.
func near(text string) (part string, whole bool) {
	part = text[:min(len(text), longestLink)]
	if at := strings.Index(part, "\n\n"); at >= 0 {
		return part[:at], true
	}
	return part, len(text) >= longestLink
}

// bracket looks at a text that starts with [ or with !. It returns what is shown of
// a link, picture, definition of a link or citation, and its length; open says that
// the text ends within what may be one.
func (p *presenter) bracket(text string, define bool) (shown string, n int, open bool) {
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
	part, whole := near(text)
	end := closing(part, at, '[', ']')
	if end < 0 {
		if len(part) == longestLink {
			return "", at + 1, false
		}
		return "", 0, !whole
	}
	label := text[at+1 : end]
	if end+1 == len(text) {
		open = true
	} else {
		switch text[end+1] {
		case '(':
			stop := closing(part, end+1, '(', ')')
			if stop < 0 {
				if whole {
					return p.inert(label), end + 1, false
				}
				open = true
				break
			}
			if p.allowed(text[end+2 : stop]) {
				return text[:at+1] + p.shown(label, true, true) + text[end:stop+1], stop + 1, false
			}
			return p.inert(label), stop + 1, false
		case ':':
			if !define || at == 1 {
				break
			}
			line, ended := definition(part[end+2:])
			if !ended && !whole {
				open = true
			}
			if !ended && whole && len(part) == longestLink {
				return "", 1, false
			}
			if dest := strings.TrimSpace(line); (strings.Contains(dest, "//") || strings.HasPrefix(dest, "data:")) && !p.allowed(dest) {
				return "", end + 2 + len(line), open
			}
		}
	}
	if at == 1 && !open { // a picture by reference
		return p.inert(label), end + 1, false
	}
	if p.cites != nil && at == 0 && len(label) <= 3 {
		if id, err := strconv.Atoi(label); err == nil && id > 0 && (id > p.cites()) {
			p.unknown++
			return "", end + 1, open
		}
	}
	if at == 1 {
		return p.inert(label), end + 1, open
	}
	return "", 0, open
}

// definition returns the line that a definition of a link has behind its colon, or
// two: its address may stand on the next.
func definition(text string) (line string, ended bool) {
	from := len(text) - len(strings.TrimLeft(text, " \t\n"))
	if at := strings.IndexByte(text[from:], '\n'); at >= 0 {
		return text[:from+at], true
	}
	return text, false
}

// inert is the label of a refused link: without a link in it.
func (p *presenter) inert(label string) string {
	return strings.NewReplacer("[", "", "]", "", "(", "", ")", "").Replace(p.shown(label, true, true))
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

// allowed reports whether the destination of a link, which a title may follow, is one
// of an allowed host.
func (p *presenter) allowed(dest string) bool {
	dest = strings.TrimSpace(dest)
	title := ""
	if at := strings.IndexAny(dest, " \t\n"); at >= 0 {
		dest, title = dest[:at], strings.TrimSpace(dest[at:])
	}
	if strings.HasPrefix(dest, "<") && strings.HasSuffix(dest, ">") {
		dest = strings.Trim(dest, "<>")
	}
	// What a renderer takes for no link is HTML to it.
	if strings.ContainsAny(dest, "<>") || strings.ContainsAny(title, "<>[]") {
		return false
	}
	u, err := url.Parse(dest)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return false
	}
	host, name := strings.ToLower(u.Host), strings.ToLower(u.Hostname())
	for _, h := range p.hosts {
		h = strings.ToLower(h)
		// An entity such as &sol; ends the name for a renderer.
		if host == h || name == h || strings.HasSuffix(name, "."+h) && !strings.ContainsAny(name, "&;") {
			return true
		}
	}
	return false
}

// tag returns the length of a tag of HTML that is left out.
func tag(text string) (n int, open bool) {
	name := strings.TrimPrefix(text[1:], "/")
	end := 0
	for end < len(name) && isLetter(name[end]) {
		end++
	}
	known := false
	for _, l := range loading {
		known = known || strings.EqualFold(name[:end], l)
	}
	if end == len(name) && !known {
		return 0, len(text) < longestLink
	}
	part, whole := text[:min(len(text), longestLink)], len(text) >= longestLink
	switch {
	case end == len(name): // a label can end here, and more text follow it
		return 1, true
	case !known:
		if end == 0 || strings.IndexByte(" \t\n\r\f/", name[end]) < 0 {
			return 0, false
		}
		part, whole = near(text)
	}
	stop := strings.IndexByte(part, '>')
	if stop >= 0 {
		part = part[:stop+1]
	}
	switch {
	case !known && len(part) < longestLink && !strings.Contains(part, "="): // without attributes, or a comparison
		return 0, stop < 0 && !whole
	case stop >= 0:
		return stop + 1, false
	case known && !whole:
		return len(text), true
	}
	return 1, !whole // the < alone is left out: what follows is no tag any more
}
