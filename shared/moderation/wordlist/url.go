package wordlist

import "strings"

// inURL tells whether text[start:end] lies within a URL or an e-mail address. A
// URL has a scheme of the web or begins with www.; what only looks like a host
// (f.u.c.k) is none.
func inURL(text string, start, end int) bool {
	from, to := start, end
	for from > 0 && isURLByte(text[from-1]) {
		from--
	}
	for to < len(text) && isURLByte(text[to]) {
		to++
	}
	for i := start; i < end; i++ {
		if !isURLByte(text[i]) {
			return false
		}
	}
	token := text[from:to]
	start, end = start-from, end-from
	if at := webStart(token); at >= 0 && at <= start {
		return true
	}
	before, after := strings.LastIndexByte(token[:end], '@'), strings.IndexByte(token[end:], '@')
	return inMail(token, before, start, end) || after >= 0 && inMail(token, end+after, start, end)
}

// webStart returns where a URL starts in a token, -1 for nowhere.
func webStart(token string) int {
	lower := strings.ToLower(token)
	for _, prefix := range []string{"https://", "http://", "ftp://", "www."} {
		if i := strings.Index(lower, prefix); i >= 0 && i+len(prefix) < len(token) && (i == 0 || !isWordByte(token[i-1])) {
			return i
		}
	}
	return -1
}

// inMail tells whether token[start:end] lies within the e-mail address around an
// @, which ends in a dot and two letters or more.
func inMail(token string, at, start, end int) bool {
	if at < 0 {
		return false
	}
	from, to := at, at+1
	for from > 0 && (isWordByte(token[from-1]) || strings.IndexByte("._%+-", token[from-1]) >= 0) {
		from--
	}
	for to < len(token) && (isWordByte(token[to]) || token[to] == '.' || token[to] == '-') {
		to++
	}
	host := strings.TrimRight(token[at+1:to], ".-")
	dot := strings.LastIndexByte(host, '.')
	return from < at && dot > 0 && len(host)-dot > 2 && !strings.ContainsAny(host[dot:], "0123456789-") &&
		from <= start && end <= at+1+len(host)
}

func isWordByte(b byte) bool {
	return 'a' <= b|0x20 && b|0x20 <= 'z' || '0' <= b && b <= '9'
}

func isURLByte(b byte) bool {
	return isWordByte(b) || strings.IndexByte("-._~:/?#[]@!$&'()*+,;=%", b) >= 0
}
