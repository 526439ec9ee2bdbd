// Command promql-engine evaluates queries with Prometheus's engine over series that it is given.
//
// A document comes in at its standard input, and another goes out. Times are seconds.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

type input struct {
	Step    int64    `json:"step"`
	Series  []series `json:"series"`
	Queries []query  `json:"queries"`
}

type series struct {
	Labels map[string]string `json:"labels"`
	// One for each step from 0 on; null where nothing was scraped.
	Values []*float64 `json:"values"`
}

type query struct {
	Expr  string `json:"expr"`
	Start int64  `json:"start"`
	End   int64  `json:"end"`
	Step  int64  `json:"step"`
}

type output struct {
	Lines    []line   `json:"lines"`
	Error    string   `json:"error,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

type line struct {
	Labels map[string]string `json:"labels"`
	// A time and a value each.
	Points [][2]number `json:"points"`
}

// A number is a string where JSON has none for it.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	if value := float64(n); math.IsNaN(value) || math.IsInf(value, 0) {
		return json.Marshal(strconv.FormatFloat(value, 'g', -1, 64))
	}
	return json.Marshal(float64(n))
}

type sample struct {
	time  int64
	value float64
}

func (s sample) T() int64                      { return s.time }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.value }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

// A memory is a storage of series that are known from the start.
type memory []*storage.SeriesEntry

func (m memory) Querier(int64, int64) (storage.Querier, error) { return m, nil }
func (m memory) Close() error                                  { return nil }

func (m memory) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (m memory) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (m memory) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	found := &set{}
	for _, one := range m {
		if !slices.ContainsFunc(matchers, func(by *labels.Matcher) bool { return !by.Matches(one.Lset.Get(by.Name)) }) {
			found.rest = append(found.rest, one)
		}
	}
	return found
}

type set struct {
	at   *storage.SeriesEntry
	rest memory
}

func (s *set) Next() bool {
	if len(s.rest) == 0 {
		return false
	}
	s.at, s.rest = s.rest[0], s.rest[1:]
	return true
}

func (s *set) At() storage.Series                { return s.at }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }

func read(all []series, step int64) memory {
	var stored memory
	for _, one := range all {
		var samples []chunks.Sample
		for index, value := range one.Values {
			if value != nil {
				samples = append(samples, sample{int64(index) * step * 1000, *value})
			}
		}
		stored = append(stored, storage.NewListSeries(labels.FromMap(one.Labels), samples))
	}
	slices.SortFunc(stored, func(a, b *storage.SeriesEntry) int { return labels.Compare(a.Lset, b.Lset) })
	return stored
}

func evaluate(engine *promql.Engine, stored memory, asked query) output {
	ctx := context.Background()
	start, end, step := time.Unix(asked.Start, 0), time.Unix(asked.End, 0), time.Duration(asked.Step)*time.Second
	running, err := engine.NewRangeQuery(ctx, stored, promql.NewPrometheusQueryOpts(false, 0), asked.Expr, start, end, step)
	if err != nil {
		return output{Error: err.Error()}
	}
	defer running.Close()
	result := running.Exec(ctx)
	matrix, err := result.Matrix()
	if err != nil {
		return output{Error: err.Error()}
	}
	warnings, infos := result.Warnings.AsStrings(asked.Expr, 0, 0)
	answer := output{Lines: []line{}, Warnings: append(warnings, infos...)}
	for _, one := range matrix {
		points := [][2]number{}
		for _, point := range one.Floats {
			points = append(points, [2]number{number(point.T) / 1000, number(point.F)})
		}
		answer.Lines = append(answer.Lines, line{one.Metric.Map(), points})
	}
	return answer
}

func main() {
	var given input
	if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
		fmt.Fprintln(os.Stderr, "promql-engine:", err)
		os.Exit(1)
	}
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples:           50_000_000,
		Timeout:              time.Minute,
		EnableAtModifier:     true,
		EnableNegativeOffset: true,
		Parser:               parser.NewParser(parser.Options{}),
	})
	stored := read(given.Series, given.Step)
	answers := []output{}
	for _, asked := range given.Queries {
		answers = append(answers, evaluate(engine, stored, asked))
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		fmt.Fprintln(os.Stderr, "promql-engine:", err)
		os.Exit(1)
	}
}
