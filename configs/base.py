"""Every field of an experiment, with its meaning and unit. Experiment files start from here.

Command:  not an experiment of its own; see cvrl_r3d50.py
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    """Returns the fields shared by all experiments, at the values of CVRL's reference."""
    config = ConfigDict()

    config.name = ""  # shown in reports and logs
    config.seed = 0  # fixes initialisation, data order, clips, crops and augmentation
    config.batch_size = 1024  # videos per step over all devices; divisible by the devices
    config.steps = 71_488  # updates (K600: 200 epochs of 357.44 steps)
    config.init_from = ""  # tower weights to start from ("" = none): a run, one of its checkpoints,
    # an export, or torchvision:FILE, pytorchvideo:FILE, huggingface:FOLDER, tensorflow:PREFIX

    config.data = data = ConfigDict()
    data.source = "moving_shapes"  # moving_shapes | folder | csv | jsonl | ucf101 | hmdb51 |
    # jhmdb | kinetics | ssv2 | howto100m | audioset | msrvtt | youcook2 | esc50 | tfds | records |
    # mixture
    data.root = ""  # folder of the videos; tfds: where datasets were prepared ("" = its default);
    # records: the --output of data_pipelines.prepare, a folder or URL
    data.manifest = ""  # csv, jsonl: the file with `path[,label][,start,end][,split]` and
    # one of `caption`, `captions`, `captions_file` (data_pipelines/sources/manifest.py says how)
    data.label_column = "label"  # csv, jsonl, tfds: which column (feature) names the class
    data.split_column = "split"  # csv, jsonl: which column says train or test
    data.caption_column = "caption"  # csv, jsonl: which column holds a sentence about the video
    data.lists = ""  # ucf101, hmdb51, jhmdb, kinetics, ssv2, howto100m, audioset, msrvtt, youcook2:
    # folder of the official lists (also one file, where one is enough); "" = look in, beside root
    data.list_split = 1  # ucf101, hmdb51, jhmdb: which of the official splits, 1 to 3;
    # msrvtt: 1 = 1k-A with 9,000 training videos, 2 = 1k-A with 7,010, 3 = the official split
    data.captions = ""  # howto100m: folder with a file of sentences for each video (.csv .json .srt
    # .vtt), or one JSON file of all; "" = howto100m_captions or caption.json in, beside root
    data.test_split = ""  # the split tested on, never trained on; "" = test (kinetics, ssv2,
    # youcook2: val; audioset: eval)
    data.max_missing_fraction = 0.05  # more listed videos without a file than this are an error
    data.trimmed = False  # kinetics, audioset: ID.mp4 holds the segment alone, not the whole video
    data.dataset = ""  # tfds: name of the dataset, such as ucf101/ucf101_1
    data.video_column = "video"  # tfds: which feature holds the video
    data.fps = 25.0  # tfds: frames per second of videos stored as frames (it does not say)
    data.constant_colour = False  # moving_shapes: a shape keeps one colour, heard and named: of 128
    # neighbouring videos, no two then agree in shape, motion and colour
    data.sound_noise = 0.0  # moving_shapes, training: standard deviation of white noise (full: 1)
    data.caption_noise = 0.0  # moving_shapes, training: share of sentences about another video
    data.misalignment = 0.0  # moving_shapes, training: most seconds by which sound and sentences
    # come too late or too early
    data.parts = ConfigDict()  # mixture: name -> {weight, source, and other fields above that
    # differ}; written in a config file
    data.eval_fraction = 0.2  # labelled data without a split: fraction held out, by class
    data.train_videos = 0  # use only the first N training videos of a fixed shuffle; 0 = all.
    # For moving_shapes this is how many are made (0 = 1024)
    data.test_videos = 0  # likewise for the test videos (0 = all; moving_shapes: 512)
    data.train_share = 1.0  # semi-supervised: train on this share of each class's labelled videos,
    # at least one of each; which ones is fixed by the seed
    data.frames = 16  # frames per clip
    data.stride = 2.0  # distance between frames of a clip, in stride_unit
    data.stride_unit = "frames"  # frames | seconds
    data.size = 224  # height and width of a clip, pixels
    data.sampling = "decreasing"  # interval of the pair: decreasing | uniform | increasing | same
    data.power = 1.0  # exponent of the decreasing and increasing laws
    data.crop = "random"  # random (resized crop, by the next two) | scale_jittered (a square as
    # large as the frame allows, whose sides were stretched by 0.8 to 1.2; released code of VATT)
    data.crop_area = (0.3, 1.0)  # fraction of the frame
    data.crop_aspect = (0.5, 2.0)  # width / height
    data.last_batch = "drop"  # the last videos of a training epoch, too few for a batch: drop | pad
    # (a batch filled up with black clips that count for nothing; evaluations always pad)
    data.workers = config_dict.placeholder(int)  # processes that decode; None = one per core, for
    # moving_shapes 0; 0 = threads of this process, which nothing can stop if a decoder hangs
    data.max_seconds = 60.0  # for one video; then it is given up as unreadable
    data.max_pixels = 8192 * 4320  # height times width; larger pictures are refused
    data.max_frames = 5_000_000  # of one file; longer ones are refused
    data.max_hours = 24.0  # likewise
    data.follow_links = False  # read links in root, too, that lead out of it; lists never may
    data.max_bad_fraction = 0.05  # more unreadable videos than this stop the run

    config.model = model = ConfigDict()
    model.name = "r3d50"  # r3d10 | 18 | 34 | 50 | 101 | 152, r2d18 ... (single frames), or
    # vit_small | base | medium | large, whose fields are in cvrl_vit_b16.py. Methods of several
    # modalities have a section of each here instead, see vatt_mbs.py
    model.width = 1.0  # channel multiplier, stem included
    model.stem_kernel = (5, 7, 7)  # time, height, width
    model.stem_strides = (2, 2, 2)
    model.stem_pool = True  # 1x3x3 max-pool of stride 1x2x2 behind the stem
    model.temporal_kernels = (1, 1, 3, 3)  # per stage
    model.temporal_strides = (1, 1, 1, 1)  # per stage
    model.padding = "same"  # same (TensorFlow, the reference) | symmetric (PyTorch)
    model.normalization = "none"  # of pixels in [0, 1]: none | kinetics | slowfast | imagenet; what
    # imported weights were made with (torchvision's video, pytorchvideo's, image networks)
    model.remat = "none"  # kept for the backward pass: none (= everything) | dots (products and
    # convolutions) | block (inputs of blocks: least memory, about a third more arithmetic)
    model.dtype = "bfloat16"  # of activations (or float32); parameters, statistics, logits: float32

    config.head = head = ConfigDict()
    head.hidden = 2048  # width of the hidden layers
    head.layers = 3  # hidden layers
    head.out = 128  # dimensions of the contrastive space

    config.method = ConfigDict()  # a method's own fields; its `name` is its file in methods/
    config.method.name = "cvrl"
    config.method.temperature = 0.1

    config.augment = augment = ConfigDict()
    augment.recipe = "cvrl"  # cvrl | simclr_symmetric | vatt | linear | none
    augment.strength = 1.0  # scale of the colour jitter's ranges
    augment.per_frame = False  # draw for every frame anew (ablation of temporal consistency)

    config.optimizer = optimizer = ConfigDict()
    optimizer.name = "sgd"  # sgd | lars | adam | adamw
    # The reference does not divide its loss by the number of replicas R, so its 0.32 acts as
    # 0.32 R on the mean gradient used here. 0.32 is the value at R = 1; try larger ones too.
    optimizer.learning_rate = config_dict.placeholder(float)  # absolute; None = by the rule below
    optimizer.base_learning_rate = 0.08  # times batch_size / 256 (0.32 at 1024)
    optimizer.momentum = 0.9
    optimizer.nesterov = False
    optimizer.betas = (0.9, 0.999)  # adam, adamw
    optimizer.epsilon = 1e-8  # adam, adamw
    optimizer.weight_decay = 1e-6  # on kernels only, never on BatchNorm or biases
    optimizer.warmup_steps = 1_787  # linear from 0 (K600: 5 epochs)
    optimizer.schedule = "cosine"  # after the warm-up: cosine (to 0) | quarter_cosine (to half,
    # fastest at the end) | cosine_to_half (level at the end)
    optimizer.clip_norm = 0.0  # longer gradients are cut to this length; 0 = none are
    optimizer.clip_part = "all"  # of what that is the length: all | towers (heads stay uncut)
    optimizer.layer_decay = 1.0  # learning rate of a layer = this times that of the one above it

    # How the devices share the work (docs/scale.md); --mode=plan says what fits.
    config.parallel = parallel = ConfigDict()
    parallel.mesh = mesh = ConfigDict()  # their product is the number of devices
    mesh.replica = 1  # shares the batch, each with a whole state
    mesh.data = -1  # shares the batch, and with fsdp the state; -1 = what the others leave
    mesh.model = 1  # shares the layers of transformers, with tensor
    parallel.preset = "data_parallel"  # data_parallel (a copy of the state on every device) | fsdp
    # (large arrays split over data) | tensor (transformers over model) | fsdp_tensor
    parallel.rules = ()  # pairs (regular expression, axes) that come before the preset's, see
    # cvrl_jax/parallel/rules.py; --mode=describe shows what became of each array
    parallel.chunks = 1  # towers see the batch in so many parts, the loss sees it whole: less
    # memory, a third more arithmetic, the same gradient but for BatchNorm within towers
    parallel.accumulate = 1  # the loss, too, sees it in parts (supervised, byol); each is a batch

    config.eval = evaluation = ConfigDict()
    evaluation.every = 5_000  # steps between quick evaluations; 0 = only before and after training
    evaluation.at_start = True  # whether the untrained network is evaluated
    evaluation.protocols = ("knn", "linear")  # before and after training, any of knn | linear |
    # attentive | audio_linear | audio_attentive | clip_retrieval | few_shot | semi_supervised |
    # cross_modal_retrieval | temporal_probes; in between, the quick ones among them: knn and
    # cross_modal_retrieval (knn if there is neither). docs/evaluation.md says what they are
    evaluation.retrieval_ways = 0  # cross_modal_retrieval: test videos per search, neighbours in
    # the source's order; 0 = all in one search
    evaluation.temporal_stride = 1  # temporal_probes: frames between frames at normal speed
    evaluation.clips = 1  # evenly spaced clips per test video
    evaluation.crops = 1  # 1 (centre) or 3 (along the long side) per clip
    evaluation.view_mean = "probabilities"  # what of a test video's views is averaged:
    # probabilities | logits
    evaluation.train_clips = 1  # clips per training video
    evaluation.train_views = "even"  # even (spaced, centre crop) | random (clips, resized crops of
    # data.size pixels and flips, as CVRL trains its linear classifier)
    evaluation.frames = 0  # frames per clip; 0 = data.frames
    evaluation.size = 0  # pixels; 0 = data.size
    evaluation.batch_size = 64  # views per forward pass over all devices
    evaluation.knn_k = 20
    evaluation.knn_temperature = 0.07
    evaluation.linear = linear = ConfigDict()  # on cached features
    linear.solver = "sgd"  # sgd (CVRL's recipe: the next three) | lbfgs (the optimum) | low_rank
    # (VATT's, see configs/eval/vatt_linear.py)
    linear.learning_rate = 32.0
    linear.epochs = 100
    linear.batch_size = 1024
    linear.steps = 0  # updates instead of epochs; 0 = as epochs says
    linear.factor_l2 = 0.0  # low_rank: strength of regularisation
    linear.l2 = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)  # lbfgs: strengths to choose from
    linear.validation_share = 0.2  # lbfgs: of each class's training videos, to choose by
    evaluation.attentive = attentive = ConfigDict()  # V-JEPA's recipe, on cached tokens; of a
    # network without tokens on the views
    attentive.learning_rate = 1e-3
    attentive.weight_decay = 0.01
    attentive.epochs = 20
    attentive.batch_size = 128
    attentive.heads = 12
    evaluation.few_shot = few_shot = ConfigDict()
    few_shot.shots = (1, 5, 10)  # labelled videos of each class
    few_shot.draws = 5  # of which videos; the mean over them is told
    few_shot.l2 = 1e-2  # strength of regularisation
    evaluation.semi_supervised = ConfigDict()
    evaluation.semi_supervised.shares = (0.01, 0.1)  # of each class's labels; probe as in `linear`

    config.checkpoint = checkpoint = ConfigDict()
    checkpoint.every = 1_000  # steps; also at the end and when stopped by a signal
    checkpoint.keep = 3  # newest checkpoints kept
    checkpoint.keep_best = True  # and the one of the best text-to-video (else audio-to-video) R@1,
    # or without retrieval the best kNN top-1

    config.log = log = ConfigDict()
    log.every = 50  # steps between rows of metrics.jsonl
    log.tensorboard = True  # event files in workdir/tensorboard
    log.wandb = False  # Weights & Biases; needs the extra [wandb]
    return config
