// What one call solves: a batch of subjects along rows, under a network, with an explicit Runge-Kutta method.
#pragma once

// A time-dependent input [batch, row, ...], wherever it lies.
struct Sequence {
  const float* at;
  long batch, row;  // strides
};

struct Problem {
  int batch, rows, threads;
  int state, moved, hidden, layers;  // layers: of hidden units
  int stages, degree;                // degree: of the continuous extension
  const float *a, *b, *dense;        // tableau: [stage, stage], [stage], [stage, degree]
  float scale;                       // of the network's output
  const float *begin;                // [batch, state]
  Sequence first;                    // [hidden] what the first layer is told besides state and clock, bias included
  Sequence drift;                    // [state - moved] slopes of the columns that the network does not move
  Sequence clock;                    // [stage] the clock at each stage
  Sequence dt, query, keep;          // keep: whether the row's end is carried on
  const float *weight_in;            // [hidden, moved]
  const float *weight_clock;         // [hidden]
  const float *weight_mid, *bias_mid;  // [layers - 1, hidden, hidden], [layers - 1, hidden]
  const float *weight_out, *bias_out;  // [moved, hidden], [moved]
};

// Forward: states after each row (null: the last one alone goes to final), and at each query.
struct Course {
  float *at_query;  // [batch, row, state]
  float *states;    // [batch, row, state] or null
  float *final;     // [batch, state]
};

// Backward: from gradients of the course to those of what went in. Weights are summed over batch and rows.
struct Gradients {
  const float *states, *of_query, *of_final;
  float *begin, *first, *drift;  // [batch, state], [batch, row, hidden], [batch, row, state - moved]
  float *weight_in, *weight_clock, *weight_mid, *bias_mid, *weight_out, *bias_out;
};
