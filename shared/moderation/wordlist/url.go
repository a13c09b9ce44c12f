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
	local, domain := mailSpan(token, start, end)
	return local <= start && end <= domain
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

// mailSpan returns the e-mail address around a part of a token; 1, 0 for none.
func mailSpan(token string, start, end int) (from, to int) {
	at := strings.LastIndexByte(token[:end], '@')
	if at < 0 {
		if at = strings.IndexByte(token[end:], '@'); at < 0 {
			return 1, 0
		}
		at += end
	}
	from, to = at, at+1
	for from > 0 && (isWordByte(token[from-1]) || strings.IndexByte("._%+-", token[from-1]) >= 0) {
		from--
	}
	for to < len(token) && (isWordByte(token[to]) || token[to] == '.' || token[to] == '-') {
		to++
	}
	host := strings.TrimRight(token[at+1:to], ".-")
	dot := strings.LastIndexByte(host, '.')
	if from == at || dot < 1 || len(host)-dot < 3 || strings.ContainsAny(host[dot:], "0123456789-") || start < from {
		return 1, 0
	}
	return from, at + 1 + len(host)
}

func isWordByte(b byte) bool {
	return 'a' <= b|0x20 && b|0x20 <= 'z' || '0' <= b && b <= '9'
}

func isURLByte(b byte) bool {
	return isWordByte(b) || strings.IndexByte("-._~:/?#[]@!$&'()*+,;=%", b) >= 0
}
