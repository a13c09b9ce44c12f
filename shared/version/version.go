// Package version names the release that a program was built from.
package version

// Version is a semantic version. What is built from a checkout is the version to
// come with -dev; scripts/release.sh sets that of a release.
var Version = "0.1.0-dev"
