//go:build tools

package compile

// The compiler reads the dictionaries of this module and none of its code.
import _ "github.com/go-ego/gse"
