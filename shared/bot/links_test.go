package bot

import (
	"regexp"
	"strings"
	"testing"
)

var linkCases = map[string]string{
	"nothing special": "nothing special",
	"see [the page](https://shop.example/a?b=c)":             "see [the page](https://shop.example/a?b=c)",
	"see [the page](https://help.shop.example/a)":            "see [the page](https://help.shop.example/a)",
	"see [the page](https://evil.example/a)":                 "see the page",
	"![](https://evil.example/?q=secret)":                    "",
	"![chart](https://evil.example/?q=secret) done":          "chart done",
	"![chart](data:image/png;base64,AAAA)":                   "chart",
	"![chart](//evil.example/x.png)":                         "chart",
	"![chart](https://shop.example@evil.example/x)":          "chart",
	"![chart](https://shop.example.evil.example/x)":          "chart",
	"![chart](<https://evil.example/x> \"title\")":           "chart",
	"![chart](https://shop.example/x.png)":                   "![chart](https://shop.example/x.png)",
	"![a [b](https://evil.example/1)](https://e.vil/)":       "a bhttps://evil.example/1",
	"[run](javascript:alert(1))":                             "run",
	"![chart][1]\n\n[1]: https://evil.example/x":             "chart[1]\n\n",
	"[1]: https://shop.example/x":                            "[1]: https://shop.example/x",
	"a <img src=\"https://evil.example/x\"> b":               "a  b",
	"a <IMG\nsrc=x onerror=y> b":                             "a  b",
	"a <img src=" + strings.Repeat("x", longestLink) + "> b": "a img src=" + strings.Repeat("x", longestLink) + "> b",
	"a < b and c > d":                                        "a < b and c > d",
	"2 <3":                                                   "2 <3",
	"```\n![x](https://evil.example)\n```\nafter":            "```\n![x](https://evil.example)\n```\nafter",
	"`![x](https://evil.example)`":                           "`x`",
	"so it is [1]. And [2], [9].":                            "so it is [1]. And [2], .",
	"[unfinished":                                            "[unfinished",
	"![unfinished](https://evil.example/?q=":                 "unfinished(https://evil.example/?q=",
	"wow! really [sic]":                                      "wow! really [sic]",
	"你好！[这里](https://evil.example/)好":                        "你好！这里好",
}

func TestLinks(t *testing.T) {
	for text, want := range linkCases {
		p := presenter{hosts: []string{"shop.example"}, cites: func() int { return 2 }}
		if got := p.present(text, true); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
		// While it is written, nothing is shown that is not there in the end.
		for n := range text {
			if got := p.present(text[:n], false); !strings.HasPrefix(want, got) {
				t.Errorf("%q is shown as %q while it is written, and as %q in the end", text[:n], got, want)
			}
		}
	}
}

// linked is a link of Markdown that leads to a host.
var linked = regexp.MustCompile(`\[[^\]]*\]\(\s*<?(?i:https?:)?//`)

func FuzzLinks(f *testing.F) {
	for text := range linkCases {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := presenter{cites: func() int { return 2 }}
		whole := p.present(text, true)
		for n := range text {
			if got := p.present(text[:n], false); !strings.HasPrefix(whole, got) {
				t.Fatalf("%q is shown as %q while it is written, and %q as %q in the end", text[:n], got, text, whole)
			}
		}
		if linked.MatchString(whole) && !strings.Contains(whole, "```") && !strings.Contains(whole, "~~~") {
			t.Errorf("%q is shown as %q", text, whole)
		}
	})
}
