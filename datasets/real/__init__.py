"""Real data with known targets, one reader per data set, and the suites on them.

papalexi   299 genes in 20,729 cells of a knock-out screen; 9 of its targets are measured
hill       28 genes in 6,229 cells of a knock-out screen; 27 of its targets are measured
sachs      11 proteins in 7,466 cells under reagents that act on one of them
sahin      16 proteins on arrays, 24 rows per knock-down; 8 single targets are measured
pasilla    9,921 genes, 4 against 3 samples, one knock-down
petshop    52 incidents of a micro-service system, 5 rows each; ships with this package
ecoli      3,923 genes of E. coli, 2 against 2 samples, 22 comparisons of 19 gene deletions

Nothing is ever trained or fitted on them. A target that is not measured cannot be found, so that
perturbations of unmeasured targets make no task. Each data set also gives tasks of control against
control (metadata `kind` = "control"): they have no target, and a method that names one with
confidence raises a false alarm.

A method sees samples and the names of the variables. Names of tasks are numbers in an order that
means nothing. Data that may not be redistributed are read from a folder, `--data FOLDER` or the
environment variable CDNBENCH_DATA; `files` says what it holds.

What has been left out, and why

    DREAM4           simulated, with one sample per knock-out
    MorPhiC          public as test statistics alone; there are no samples to give to a method
    Replogle, Sci-Plex rank lists     ranks of genes, no samples
    Norman/McFaline test subset       of its targets only TBX3 is measured, so it is one task, on an
                     unknown normalisation
    CellBox RPPA     one sample per condition as ratios to a control that is not given, and drugs
                     act on activities that are no column
    L1000 plate      z-scores within a plate of compounds, whose targets are assumptions
    other knock-outs of PRECISE       in another strain than every control of their project, so that
                     the differences between strains move as well
    double and triple knock-downs of Sahin et al.    one of their targets is not measured, or not
                     named without doubt
"""
