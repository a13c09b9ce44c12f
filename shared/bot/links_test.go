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
	"![a [b](https://evil.example/1)](https://e.vil/)":       "a b",
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

	// What is too long is taken apart, whether its end is there yet or not.
	"a [" + long + "](https://evil.example/) b":              "a " + long + "] (https://evil.example/) b",
	"a ![" + long + "](https://evil.example/) b":             "a " + long + "] (https://evil.example/) b",
	"a [x](https://evil.example/?q=" + long + ") b":          "a x(https://evil.example/?q=" + long + ") b",
	"[1]: https://evil.example/" + long + "\nb":              "1]: https://evil.example/" + long + "\nb",
	"a [x\n\ny](https://evil.example/) b":                    "a [x\n\ny] (https://evil.example/) b",
	"a [x](https://evil.example/?q=\n\n) b":                  "a x(https://evil.example/?q=\n\n) b",
	"[1]:\nhttps://evil.example/x\nb":                        "\nb",
	"> - [1]: https://evil.example/x\nb":                     "> - \nb",
	"see [1]: https://shop.example":                          "see [1]: https://shop.example",
	"[![x](https://evil.example/?q=)](https://shop.example)": "[x](https://shop.example)",
	"[<img src=x>y](https://shop.example)":                   "[y](https://shop.example)",
	"[<img src=x>y](https://evil.example)":                   "y",
	"[y](https://shop.example/ <img src=x>)":                 "y",
	"[y](https://shop.example/<img/src=x>)":                  "y",
	"[y](https://evil.example&sol;.shop.example/)":           "y",
	"[y](https://shop.example/ \"title\")":                   "[y](https://shop.example/ \"title\")",
	"[a `]` b](https://evil.example/)":                       "[a `]` b] (https://evil.example/)",
	"<<img src=x>img src=y>":                                 "< img src=y>",
	"<im<img src=x>g src=y>":                                 "<im>g src=y>",
	"<[img src=y](https://evil.example)>":                    "< img src=y>",
	"[<script](https://evil.example)x":                       "scriptx",
	"a <div style=\"background:url(//evil.example)\"> b":     "a  b",
	"a <b>bold</b> List<String> b":                           "a <b>bold</b> List<String> b",
	"x <y and y > z":                                         "x <y and y > z",

	// Only what is code to every renderer is shown as it is.
	"```a``` ![x](https://evil.example/?q=)":             "```a``` x",
	"    ```\n![x](https://evil.example/?q=)":            "    ```\nx",
	"- a\n  ```\n  [x](y)\nb ![x](https://evil.example)": "- a\n  ```\n  [x](y)\nb x",
	"~~~ go\na[i](x)\n~~~\na[i](x)":                      "~~~ go\na[i](x)\n~~~\nai",
}

// long is more than is held back.
var long = strings.Repeat("x", longestLink)

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

// linked is a link of Markdown that leads to a host, and tagged HTML that loads
// something.
var (
	linked = regexp.MustCompile(`\[[^\]]*\]\(\s*<?(?i:https?:)?//`)
	tagged = regexp.MustCompile(`(?i)<(` + strings.Join(loading, "|") + `)[\s/>]`)
)

func FuzzLinks(f *testing.F) {
	for text := range linkCases {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := presenter{cites: func() int { return 2 }}
		whole := p.present(text, true)
		for n := 0; n < len(text); n += 1 + len(text)/200 {
			if got := p.present(text[:n], false); !strings.HasPrefix(whole, got) {
				t.Fatalf("%q is shown as %q while it is written, and %q as %q in the end", text[:n], got, text, whole)
			}
		}
		if (linked.MatchString(whole) || tagged.MatchString(whole)) && !strings.Contains(whole, "```") && !strings.Contains(whole, "~~~") {
			t.Errorf("%q is shown as %q", text, whole)
		}
	})
}
