C     Solves A X = B by DGETRF and DGETRS, with pivots, and checks A X - B.
C
C     usage: lu_lapack [n]        (n <= 4096)
C
      PROGRAM LULAP
      INTEGER NRHS
      PARAMETER (NRHS = 8)
      DOUBLE PRECISION, ALLOCATABLE :: A(:,:), F(:,:), B(:,:), X(:,:)
      INTEGER, ALLOCATABLE :: IPIV(:)
      INTEGER N, I, J, K, IOS, INFO, C0, C1, RATE
      DOUBLE PRECISION S, RES, BN, CSUM, SECS
      CHARACTER*32 ARG
      EXTERNAL DGETRF, DGETRS
C
      N = 1000
      CALL GETARG(1, ARG)
      IF (ARG .NE. ' ') THEN
         READ (ARG, *, IOSTAT=IOS) N
         IF (IOS .NE. 0) N = 0
      END IF
      IF (N .LT. 1 .OR. N .GT. 4096) STOP 2
      ALLOCATE (A(N,N), F(N,N), B(N,NRHS), X(N,NRHS), IPIV(N))
      S = 0.37D0
      DO 20 J = 1, N
         DO 10 I = 1, N
            S = MOD(S * 16807.0D0 + 0.123456789D0, 1.0D0)
            A(I,J) = S - 0.5D0
   10    CONTINUE
   20 CONTINUE
      DO 40 J = 1, NRHS
         DO 30 I = 1, N
            B(I,J) = 1.0D0 + DBLE(MOD(I * 7919 + J, 101)) / 101.0D0
   30    CONTINUE
   40 CONTINUE
      F = A
      X = B
C
      CALL SYSTEM_CLOCK(C0, RATE)
      CALL DGETRF(N, N, F, N, IPIV, INFO)
      IF (INFO .NE. 0) STOP 1
      CALL DGETRS('No transpose', N, NRHS, F, N, IPIV, X, N, INFO)
      IF (INFO .NE. 0) STOP 1
      CALL SYSTEM_CLOCK(C1, RATE)
      SECS = DBLE(C1 - C0) / DBLE(RATE)
C
      BN = 0.0D0
      DO 70 K = 1, NRHS
         DO 60 J = 1, N
            BN = BN + ABS(B(J,K))
            DO 50 I = 1, N
               B(I,K) = B(I,K) - A(I,J) * X(J,K)
   50       CONTINUE
   60    CONTINUE
   70 CONTINUE
      RES = 0.0D0
      CSUM = 0.0D0
      DO 90 K = 1, NRHS
         DO 80 I = 1, N
            RES = RES + ABS(B(I,K))
            CSUM = CSUM + X(I,K)**2
   80    CONTINUE
   90 CONTINUE
      CSUM = SQRT(CSUM)
      WRITE (*, 900) N, RES / BN
      WRITE (*, 910) CSUM
      WRITE (*, 920) SECS
  900 FORMAT ('lu_lapack n=', I0, ' residual=', ES8.1)
  910 FORMAT ('checksum=', ES22.15)
  920 FORMAT ('seconds=', F0.6)
      IF (.NOT. (RES / BN .LT. 1.0D-8)) STOP 1
      END
