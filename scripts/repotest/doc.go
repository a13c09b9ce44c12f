// Package repotest holds the tests of the repository itself: the allowed imports
// between packages, that every function folder is complete, that programs, examples,
// READMEs and both deployment templates agree, that the functions run with exactly the
// permissions and settings of the templates, and that the scripts do what their usage
// says. The tables of rules here may be changed for a reason; write the reason into
// docs/decisions.
package repotest
