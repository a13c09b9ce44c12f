// Package repotest holds the tests of the repository itself: which package may
// import which, that every function folder is complete, that programs,
// examples, READMEs and both deployment templates agree, that the functions run
// with exactly what the templates give them, and that the scripts do what they
// say. What a table here forbids may be changed where there is a reason; write
// the reason into docs/decisions.
package repotest
