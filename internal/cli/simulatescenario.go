package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/simulate"
)

// readScenario fills in what the command line left open, and returns the scenario's events.
func (f *simulateFlags) readScenario(cmd *cobra.Command, s Streams) ([]simulate.ScenarioEvent, error) {
	text, err := readInput(s, f.scenario)
	if err != nil {
		return nil, failed(fmt.Errorf("--scenario: %w", err), "")
	}
	sc, err := simulate.ReadScenario(text)
	if err != nil {
		return nil, &exitError{2, fmt.Errorf("%s: %w", f.scenario, err), "docs/simulate.md has the schema"}
	}
	if f.name != "" && f.name != sc.Dialect {
		return nil, misused("the scenario is of the dialect %s, not %s", sc.Dialect, f.name)
	}
	f.name = sc.Dialect
	o := &f.o
	fs := cmd.Flags()
	fillIn(fs.Changed("to"), &o.To, sc.To)
	fillIn(fs.Changed("count"), &o.Count, sc.Count)
	fillIn(fs.Changed("rate"), &o.Rate, sc.Rate)
	fillIn(fs.Changed("parallel"), &o.Parallel, sc.Parallel)
	fillIn(fs.Changed("speed"), &o.Speed, sc.Speed)
	fillIn(fs.Changed("duplicates"), &o.Duplicates, sc.Duplicates)
	fillIn(fs.Changed("forge"), &o.Forge, sc.Forge)
	fillIn(fs.Changed("disorder"), &o.Disorder, sc.Disorder)
	fillIn(fs.Changed("handshake"), &o.Handshake, sc.Handshake)
	fillIn(fs.Changed("lang"), &o.Lang, sc.Lang)
	fillIn(fs.Changed("probe"), &f.probe, sc.Probe)
	fillIn(fs.Changed("check-command"), &f.check, sc.CheckCommand)
	fillList(fs.Changed("habit"), &o.Habits, sc.Habits)
	fillList(fs.Changed("expect-finding"), &o.Ignore, sc.Expect.Findings)
	fillList(fs.Changed("allow"), &f.allow, sc.Allow)
	o.P99 = time.Duration(sc.Expect.P99)
	f.scenarioSettings(fs.Changed("set"), sc)
	return sc.Events, nil
}

// fillIn takes a value of the scenario, unless the command line has one or the scenario has none.
func fillIn[T comparable](changed bool, to *T, value T) {
	var none T
	if !changed && value != none {
		*to = value
	}
}

func fillList(changed bool, to *[]string, values []string) {
	if !changed && len(values) > 0 {
		*to = values
	}
}

// scenarioSettings writes the scenario's settings as the command line would; files are relative to the scenario.
func (f *simulateFlags) scenarioSettings(changed bool, sc simulate.Scenario) {
	if changed {
		return
	}
	for _, name := range sortedKeys(sc.Settings) {
		for _, value := range sc.Settings[name] {
			if path, ok := strings.CutPrefix(value, "@"); ok {
				value = "@" + f.beside(path)
			}
			f.sets = append(f.sets, name+"="+value)
		}
	}
}

// beside is a path that the scenario names.
func (f *simulateFlags) beside(path string) string {
	if filepath.IsAbs(path) || f.scenario == "-" {
		return path
	}
	return filepath.Join(filepath.Dir(f.scenario), path)
}

// scenarioEvents turns the scenario's events into those of the run.
func (f *simulateFlags) scenarioEvents(s Streams, events []simulate.ScenarioEvent) error {
	for _, e := range events {
		payload := []byte(e.Payload)
		if e.File != "" {
			var err error
			if payload, err = readInput(s, f.beside(e.File)); err != nil {
				return failed(fmt.Errorf("%s: event %s: %w", f.scenario, e.Type, err), "")
			}
		}
		if e.File == "" && e.Payload == "" {
			found, err := examplesOf(f.o.Dialect, e.Type)
			if err != nil {
				return err
			}
			f.o.Events = append(f.o.Events, found...)
			continue
		}
		if !json.Valid(payload) {
			return &exitError{2, fmt.Errorf("%s: event %s: its payload is not JSON", f.scenario, e.Type), ""}
		}
		f.o.Events = append(f.o.Events, dialect.Example{EventType: e.Type, Payload: bytes.TrimSpace(payload), Platform: e.Platform})
	}
	return nil
}
