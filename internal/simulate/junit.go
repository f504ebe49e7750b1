package simulate

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

type junitSuites struct {
	XMLName xml.Name   `xml:"testsuites"`
	Suite   junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"` // seconds
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Failure *junitFailure `xml:"failure"`
	Skipped *junitSkipped `xml:"skipped"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

type junitSkipped struct {
	Message string `xml:"message,attr"`
}

// WriteJUnit writes a report as JUnit XML: a suite with a case for each check.
func (r Report) WriteJUnit(w io.Writer) error {
	s := junitSuite{Name: "waypost simulate " + r.Dialect, Time: fmt.Sprintf("%.3f", r.TookMs/1000)}
	for _, c := range r.Checks {
		s.add(r.junitCase(c))
	}
	text, err := xml.MarshalIndent(junitSuites{Suite: s}, "", "  ")
	if err != nil {
		return fmt.Errorf("write JUnit XML: %w", err)
	}
	_, err = io.WriteString(w, xml.Header+string(text)+"\n")
	return err
}

func (s *junitSuite) add(c junitCase) {
	s.Tests++
	if c.Failure != nil {
		s.Failures++
	}
	if c.Skipped != nil {
		s.Skipped++
	}
	s.Cases = append(s.Cases, c)
}

func (r Report) junitCase(c Check) junitCase {
	out := junitCase{Name: c.Name, Class: "waypost.simulate." + r.Dialect}
	if c.Result == ResultSkipped {
		out.Skipped = &junitSkipped{c.Text}
	}
	var failures, others []string
	for _, f := range r.Findings {
		line := fmt.Sprintf("%s: %s: %s %s", f.Level, f.Code, f.Text, f.Mend)
		switch {
		case f.Check != c.Name:
		case f.fails():
			failures = append(failures, line)
			if out.Failure == nil {
				out.Failure = &junitFailure{Message: f.Text, Type: f.Code}
			}
		default:
			others = append(others, line)
		}
	}
	if c.Result == ResultFailed && out.Failure == nil {
		out.Failure = &junitFailure{Message: fmt.Sprintf("%d messages were unfinished when the run ended", r.Totals.Unfinished), Type: "unfinished"}
	}
	if out.Failure != nil {
		out.Failure.Text = strings.Join(failures, "\n")
	}
	out.Out = strings.Join(others, "\n")
	return out
}
